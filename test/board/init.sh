#!/bin/sh
# Process 1 of the virtual board. Two words of the kernel's command line arrive as variables: board_dir, the run's folder on the machine outside, and board_mark,
# the word that sets its own lines apart from the kernel's. The root is the machine's own, mounted read-only: only memory can be written to.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t configfs configfs /sys/kernel/config
mount -t debugfs debugfs /sys/kernel/debug
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
mount -t tmpfs tmpfs /run
mkdir /run/outside
mount --bind / /run/outside
mount -t tmpfs tmpfs /tmp
ip link set lo up

# What the job needs and these mounts have hidden comes back to its own place.
while read -r place; do
  case $place in
  /tmp/* | /run/* | /dev/shm/*)
    mkdir -p "$place"
    mount --bind "/run/outside$place" "$place"
    ;;
  esac
done <"/run/outside$board_dir/needed"

echo "$board_mark begin"
sh "/run/outside$board_dir/job.sh" </dev/null 2>&1
echo "$board_mark end $?"

# Off. Process 1 must not end before the kernel does.
echo o >/proc/sysrq-trigger
sleep 60
