"""A network namespace with a wire to us, which loses what it is told to."""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess

SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17


def checksums_off(device):
    """Its packets are finished before they leave: without it, all segments of a GSO message cross the wire as one, and are lost as one."""
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sP16x", device.encode(), ctypes.addressof(value)))


class Lan:
    """A namespace that reaches us by one address of ours. Programs run in it with .prefix in front."""

    made = 0

    def __init__(self):
        number = (os.getpid() + 97 * Lan.made) % 16000
        Lan.made += 1
        self.name, self.near, self.far = f"sluice{number}", f"sl{number}a", f"sl{number}b"
        net = f"10.213.{number // 64}.{number % 64 * 4}"
        base, last = net.rsplit(".", 1)
        self.here, self.there = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"
        self.prefix = ["ip", "netns", "exec", self.name]
        for words in (f"netns add {self.name}", f"link add {self.near} type veth peer name {self.far} netns {self.name}",
                      f"addr add {self.here}/30 dev {self.near}", f"link set {self.near} up", f"-n {self.name} link set lo up",
                      f"-n {self.name} addr add {self.there}/30 dev {self.far}", f"-n {self.name} link set {self.far} up",
                      f"-n {self.name} route add default via {self.here}"):
            subprocess.run(["ip", *words.split()], check=True)

    def _nft(self, *rules):
        subprocess.run([*self.prefix, "nft", "-f", "-"], input="\n".join(rules).encode(), check=True)

    def cut(self):
        """No datagram comes in any more, until heal()."""
        self._nft("table inet cut { chain in { type filter hook input priority 0 ; meta l4proto udp drop ; } ; }")

    def heal(self):
        self._nft("delete table inet cut")

    def lose(self, percent, bursts=False):
        """So many of 100 datagrams are lost, each way, and who sends them is not told. bursts: of what comes, whole GSO messages."""
        if not bursts:
            checksums_off(self.near)
        drop = f"meta l4proto udp numgen random mod 100 < {percent} counter drop"
        self._nft("table netdev loss", "delete table netdev loss", "table netdev loss {",
                  f'chain in {{ type filter hook ingress device "{self.far}" priority 0 ; {drop} ; }}',
                  f'chain out {{ type filter hook egress device "{self.far}" priority 0 ; {drop} ; }}', "}")

    def lose_one(self, first_byte):
        """The next datagram from each address that comes in and begins with this byte is lost."""
        self._nft("table netdev one {", "set seen { type ipv4_addr ; flags dynamic ; size 16 ; }",
                  f'chain in {{ type filter hook ingress device "{self.far}" priority 0 ; '
                  f"meta l4proto udp @th,64,8 {first_byte} ip saddr != @seen add @seen {{ ip saddr }} counter drop ; }}", "}")

    def lost_one(self):
        """Whether lose_one() took one."""
        text = subprocess.run([*self.prefix, "nft", "list", "table", "netdev", "one"], check=True, capture_output=True).stdout
        return b"packets 1 " in text

    def lost(self):
        """Datagrams that lose() took so far: to the namespace, from it."""
        text = subprocess.run([*self.prefix, "nft", "list", "table", "netdev", "loss"], check=True, capture_output=True).stdout.split()
        return [int(text[i + 1]) for i, w in enumerate(text) if w == b"packets"]

    def narrow(self, bits_per_s, latency_ms=300):
        """No more than that comes in, after a queue of so many milliseconds; 0: all."""
        if not bits_per_s:
            subprocess.run(["tc", "qdisc", "del", "dev", self.near, "root"], check=True)
            return
        checksums_off(self.near)
        subprocess.run(f"tc qdisc replace dev {self.near} root tbf rate {bits_per_s}bit burst 8k latency {latency_ms}ms".split(), check=True)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], check=True)
