# SPDX-License-Identifier: MIT
"""The network: a guest gets its address by DHCP, fetches from a server of the host, and is reached from the
host through a forwarded port."""
import hashlib
import http.server
import random
import socket
import threading
import unittest

from guest import Case
from recording import LONG

CONTENT = random.Random(3).randbytes(3_000_000)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Net(Case):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(self.server.server_close)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.shutdown)

    def boot(self, options, cpus=1):
        machine = self.machine([*self.linux("amd64"), "-m", 256, "-smp", cpus, *options])
        machine.shell()
        machine.run("ifconfig lo up; ifconfig eth0 up")
        return machine

    def dhcp(self, machine):
        told = machine.run("udhcpc -i eth0 -s /etc/udhcpc -n -q 2>&1")
        self.assertIn("guest: address 10.0.2.15 router 10.0.2.2 dns 10.0.2.3", told)

    def check_fetch(self, machine):
        port = self.server.server_address[1]
        got = machine.run(f"wget -q -O - http://10.0.2.2:{port}/ | md5sum")
        self.assertEqual(got.split()[0], hashlib.md5(CONTENT).hexdigest())

    def check_forwarded(self, machine, port):
        """What is sent to the port of the host comes back from the guest."""
        machine.run("(nc -l -p 7 -e cat &) 2>/dev/null; until netstat -ltn | grep -q :7; do sleep 0.1; done")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            sender = threading.Thread(target=connection.sendall, args=(CONTENT[:500_000],))
            sender.start()
            got = b""
            while len(got) < 500_000:
                part = connection.recv(65536)
                if not part:
                    break
                got += part
            sender.join()
        self.assertEqual(hashlib.md5(got).hexdigest(), hashlib.md5(CONTENT[:500_000]).hexdigest())

    def test_address_fetch_and_forwarded_port(self):
        port = free_port()
        machine = self.boot(["-nic", f"user,hostfwd=tcp:127.0.0.1:{port}-:7"])
        self.assertEqual(machine.run("cat /sys/class/net/eth0/address"), "52:54:00:12:34:56\n")
        self.dhcp(machine)
        self.check_fetch(machine)
        self.check_forwarded(machine, port)
        self.assertRegex(machine.run("ping -c 3 10.0.2.2"), "3 packets transmitted, 3 packets received")
        self.assertEqual(machine.power_off(), 0)
        self.assertEqual(machine.errors(), "")


class LongNet(Net):
    def test_address_fetch_and_forwarded_port(self):
        """The same with the words that QEMU's users have used since, and several CPUs."""
        port = free_port()
        machine = self.boot(["-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:7", "-device",
                             "e1000,netdev=n0,mac=52:54:00:aa:bb:cc"], 4)
        self.assertEqual(machine.run("cat /sys/class/net/eth0/address"), "52:54:00:aa:bb:cc\n")
        self.dhcp(machine)
        for _ in range(5):
            self.check_fetch(machine)
        self.check_forwarded(machine, port)
        # A flood both ways at once.
        machine.run("for i in 1 2 3; do wget -q -O /tmp/got$i "
                    f"http://10.0.2.2:{self.server.server_address[1]}/ & done; ping -q -c 200 -i 0.02 10.0.2.2; wait")
        self.assertEqual(set(machine.run("cat /tmp/got* | md5sum").split()[:1]),
                         {hashlib.md5(CONTENT * 3).hexdigest()})
        self.assertRegex(machine.run("ifconfig eth0"), r"RX packets:\d+ errors:0 dropped:0")
        self.assertEqual(machine.power_off(), 0)

    def test_restricted(self):
        machine = self.boot(["-nic", "user,restrict=on,net=192.168.76.0/24,dhcpstart=192.168.76.9"])
        told = machine.run("udhcpc -i eth0 -s /etc/udhcpc -n -q 2>&1")
        self.assertIn("guest: address 192.168.76.9 router ", told)
        port = self.server.server_address[1]
        self.assertEqual(machine.run(f"timeout 4 wget -q -O - http://192.168.76.2:{port}/ 2>/dev/null | wc -c"), "0\n")
        # Its own router answers still.
        self.assertIn("2 packets received", machine.run("ping -c 2 192.168.76.2"))
        self.assertEqual(machine.power_off(), 0)


if not LONG:
    del LongNet

if __name__ == "__main__":
    unittest.main()
