// sluice_netlink.h: the few things about namespaces and interfaces that Swift cannot say itself.
//
// What: setns, unshare and mount (GNU extensions and flags that do not import), and the ethtool ioctl (ioctl is variadic).
// Invariants: every function returns 0 or an errno value, and touches nothing but what its name says.
// Threads: the two that change the namespace change it for the calling thread only, for good; call them on a thread that
//          ends afterwards, never on one of a pool.
// Cost: one or two system calls each.
#pragma once

/// Moves the calling thread into the network namespace that `fd` is open on.
int sluice_enter_network_namespace(int fd);

/// Moves the calling thread into a new network namespace, in which there is nothing but a loopback interface that is down.
int sluice_new_network_namespace(void);

/// Says whether `fd` is open on a network namespace: 0 if it is, EINVAL if it is something else.
int sluice_check_network_namespace(int fd);

/// Makes what is mounted on `from` visible at `to` too: mount --bind.
int sluice_mount_bind(const char *from, const char *to);

/// Makes mounts below `path` appear in all mount namespaces that share it: mount --make-rshared.
int sluice_mount_shared(const char *path);

/// Takes a mount away now; it ends when its last user has gone: umount --lazy.
int sluice_unmount_lazily(const char *path);

/// The name of interface `index` of the namespace that `socket` was made in, with its NUL.
int sluice_interface_name(int socket, int index, char name[16]);

/// Runs an ethtool command (linux/ethtool.h) on interface `index` of the namespace that `socket` was made in. The ioctl goes
/// by name, so the name is looked up first; an interface that is renamed between the two calls answers ENODEV.
int sluice_ethtool(int socket, int index, void *request);
