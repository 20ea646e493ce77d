"""Phones that register, two a second, and a scanner that sends what is no SIP."""
import random
import socket
import sys
import time

REGISTER = """REGISTER sip:{host} SIP/2.0
Via: SIP/2.0/UDP {own}:{port};branch=z9hG4bK{number}
Max-Forwards: 70
From: <sip:{user}@{host}>;tag={number}
To: <sip:{user}@{host}>
Call-ID: {user}@{own}
CSeq: {number} REGISTER
Contact: <sip:{user}@{own}:{port}>
Expires: 60
Content-Length: 0

""".replace("\n", "\r\n")

host, own = sys.argv[1:3]
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind((own, 5060))
for number in range(1, 1000000):
    text = REGISTER.format(host=host, own=own, port=5060, number=number, user=2000 + number % 50)
    link.sendto(text.encode(), (host, 5060))
    if random.random() < 0.1:
        link.sendto(b"GET / HTTP/1.1\r\n\r\n" if number % 2 else b"OPTIONS sip:x SIP/2.0\r\n\r\n", (host, 5060))
    time.sleep(0.5)
