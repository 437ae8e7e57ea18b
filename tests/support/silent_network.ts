/**
 * A network where nobody answers, neither peers nor the name server, and names with several addresses.
 */

/** How patient the system's resolver is: as little as it can be, or far more than a test. */
export const QUICK = "timeout:1 attempts:1";
export const SLOW = "timeout:30 attempts:5";

/** Commands for a namespace of a test's own. */
export const silentNetwork = (resolver: string): string[] => [
  "ip link set lo up",
  // A device where nobody answers: packets to its neighbours wait, and packets through its gateway vanish.
  "ip link add v0 type veth peer name v1",
  "ip addr add 10.99.0.1/24 dev v0",
  "ip link set v1 up",
  "ip link set v0 up",
  "ip neigh add 10.99.0.9 lladdr 02:00:00:00:00:09 dev v0",
  "hosts=$(mktemp)",
  'printf "127.0.0.7 several.test\\n127.0.0.8 several.test\\n10.99.0.9 mixed.test\\n127.0.0.8 mixed.test\\n" > $hosts',
  "mount --bind $hosts /etc/hosts",
  `printf "nameserver 10.99.0.9\\noptions ${resolver}\\n" > $hosts.resolv`,
  "mount --bind $hosts.resolv /etc/resolv.conf",
  // Addresses keep the order of the hosts file, whatever their scope.
  'printf "scopev4 ::ffff:0.0.0.0/96 14\\n" > $hosts.gai',
  "mount --bind $hosts.gai /etc/gai.conf",
  "rm $hosts $hosts.resolv $hosts.gai",
];
