#define _GNU_SOURCE
#include "sluice_netlink.h"

#include <errno.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

int sluice_enter_network_namespace(int fd) { return setns(fd, CLONE_NEWNET) ? errno : 0; }

int sluice_new_network_namespace(void) { return unshare(CLONE_NEWNET) ? errno : 0; }

int sluice_check_network_namespace(int fd) {
	// A file that is not a namespace answers ENOTTY; another kind of namespace answers with its own CLONE_NEW flag.
	return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET ? 0 : EINVAL;
}

int sluice_mount_bind(const char *from, const char *to) { return mount(from, to, "none", MS_BIND, NULL) ? errno : 0; }

int sluice_mount_shared(const char *path) { return mount("", path, "none", MS_SHARED | MS_REC, NULL) ? errno : 0; }

int sluice_unmount_lazily(const char *path) { return umount2(path, MNT_DETACH) ? errno : 0; }

int sluice_interface_name(int socket, int index, char name[16]) {
	struct ifreq ifr;
	memset(&ifr, 0, sizeof ifr);
	ifr.ifr_ifindex = index;
	if (ioctl(socket, SIOCGIFNAME, &ifr)) return errno;
	memcpy(name, ifr.ifr_name, sizeof ifr.ifr_name);
	return 0;
}

int sluice_ethtool(int socket, int index, void *request) {
	struct ifreq ifr;
	memset(&ifr, 0, sizeof ifr);
	int refused = sluice_interface_name(socket, index, ifr.ifr_name);
	if (refused) return refused;
	ifr.ifr_data = request;
	return ioctl(socket, SIOCETHTOOL, &ifr) ? errno : 0;
}
