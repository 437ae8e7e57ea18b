#!/bin/busybox sh
# The first process of a guest: makes it usable, runs the suites, and ends it. Rows go to the second serial line, what programs print
# to the console.
/bin/busybox mkdir -p /busybox
/bin/busybox --install -s /busybox
export PATH=/usr/sbin:/usr/bin:/busybox HOME=/root TERM=dumb NO_COLOR=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
chmod 1777 /tmp
stty -F /dev/ttyS1 raw
for module in /modules/*.ko; do
  insmod "$module" || echo "cannot load $module"
done
ip link set lo up
# Room for what tests send to receivers that do not read, as on machines that are set up for such sends.
sysctl -q -w net.core.rmem_max=4194304 net.core.wmem_max=4194304
ulimit -n 65536
# What systemd leaves to a service; kernels before 5.16 begin with 64 KiB, which no single large send fits in.
ulimit -l 8192
export DENO_DIR=/deno-dir DENO_NO_UPDATE_CHECK=1
# From the kernel's command line: where the project is, and what to run.
for word in $(cat /proc/cmdline); do
  case $word in ringlet.*) export "RINGLET_${word#ringlet.}" ;; esac
done
export RINGLET_ROWS=/dev/ttyS1 RINGLET_GUEST=1
cd "$RINGLET_PROJECT" && deno run --cached-only --no-check --allow-all tests/vm/inside.ts
poweroff -f
