# SPDX-License-Identifier: MIT
#
# The syslog writer: a socket of our own stands in for the system's log.
import os
import re
import socket
import subprocess
import unittest

from recording import BUILD, Case

SOCKET = "/dev/log"


class Syslog(Case):
    def setUp(self):
        super().setUp()
        if os.path.exists(SOCKET) or not os.access("/dev", os.W_OK):
            self.skipTest(f"{SOCKET} belongs to a running system log, or cannot be made")
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.log.close)
        self.log.bind(SOCKET)
        self.addCleanup(os.unlink, SOCKET)
        self.log.settimeout(10)

    def test_lines(self):
        subprocess.run([os.path.join(BUILD, "tests", "storm"), "--count", "3", "-trace",
                        "storm_three,writer=syslog,filter=number > 0"], check=True, timeout=60,
                       capture_output=True)
        lines = [self.log.recv(4096).decode() for _ in range(2)]
        for number, line in enumerate(lines, 1):
            # Facility daemon (3), severity info (6): 3 * 8 + 6.
            self.assertTrue(re.fullmatch(
                rf"<30>.*storm\[\d+\]: storm_three number {number} worker 0 negative -{number}\0?",
                line), line)


if __name__ == "__main__":
    unittest.main()
