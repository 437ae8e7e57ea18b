// SPDX-License-Identifier: (GPL-2.0 OR MIT)
/*
 * Sets the counter of zero-copy ids of a socket, so that tests can cross 2^32 without four billion sends. Write "fd value" to
 * /sys/module/ringlet_zckey/parameters/set from the process that has the socket. For guests of the kernel lab only.
 */
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/net.h>
#include <net/sock.h>

static int set_counter(const char *text, const struct kernel_param *param)
{
	struct socket *socket;
	unsigned int value;
	int fd, error;

	if (sscanf(text, "%d %u", &fd, &value) != 2)
		return -EINVAL;
	socket = sockfd_lookup(fd, &error);
	if (!socket)
		return error;
	atomic_set(&socket->sk->sk_zckey, value);
	sockfd_put(socket);
	return 0;
}

static const struct kernel_param_ops set_operations = { .set = set_counter };
module_param_cb(set, &set_operations, NULL, 0200);

MODULE_DESCRIPTION("Sets the zero-copy counter of a socket");
MODULE_LICENSE("Dual MIT/GPL");
