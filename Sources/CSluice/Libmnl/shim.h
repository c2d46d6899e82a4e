// What Swift sees of libmnl and of the kernel's netlink families.
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/veth.h>
#include <linux/net_namespace.h>
#include <linux/pkt_sched.h>
#include <linux/pkt_cls.h>
