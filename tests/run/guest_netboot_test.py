# SPDX-License-Identifier: MIT
"""iPXE, the ROM of the network card, boots from the network: DHCP, a script over TFTP, another over HTTP."""
import http.server
import threading
import unittest

from guest import Case

# A script that says at its end whether all of it came: each line is a comment but the last.
LINES = 20_000
SCRIPT = "#!ipxe\n" + "".join(f"# line {i} of a long script\n" for i in range(LINES)) + "echo all of $${} came\n"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = SCRIPT.replace("$${}", str(LINES)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class NetBoot(Case):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(self.server.server_close)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.shutdown)

    def test_scripts(self):
        port = self.server.server_address[1]
        with open(self.path("first.ipxe"), "w", encoding="ascii") as file:
            file.write(f"#!ipxe\necho over TFTP: ${{net0/mac}} ${{net0/ip}}\nchain http://10.0.2.2:{port}/second.ipxe\n")
        dump = self.path("net.pcap")
        machine = self.machine(["-m", 64, "-boot", "n", "-nographic", "-netdev",
                                f"user,id=n0,tftp={self.folder},bootfile=first.ipxe", "-device",
                                "e1000,netdev=n0,mac=52:54:00:11:22:33", "-object",
                                f"filter-dump,id=f0,netdev=n0,file={dump}"])
        machine.serial.wait_for(r"using 82540em on 0000:00:0\d\.0 \(open\)", 60)
        machine.serial.wait_for(r"net0: 10\.0\.2\.15/255\.255\.255\.0 gw 10\.0\.2\.2", 60)
        machine.serial.wait_for(r"over TFTP: 52:54:00:11:22:33 10\.0\.2\.15", 60)
        machine.serial.wait_for(rf"all of {LINES} came", 60)
        self.assertRegex(machine.monitor("info network"),
                         r"e1000\.0: index=0,type=nic,model=e1000,macaddr=52:54:00:11:22:33\r?\n"
                         r" \\ n0: index=0,type=user,net=10\.0\.2\.0,restrict=off")
        machine.monitor_quit()
        self.check_end(machine)
        with open(dump, "rb") as file:
            frames = file.read()
        self.assertEqual(frames[:8], b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00")
        self.assertIn(b"GET /second.ipxe HTTP/1.1", frames)
        self.assertIn(b"# line 19999 of a long script", frames)


if __name__ == "__main__":
    unittest.main()
