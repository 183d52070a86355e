"""Sends bodies with Python's own client, which writes all of one before it reads, and prints what it was told of each."""

import http.client
import sys
from urllib.parse import urlsplit

given = sys.argv[1:]
while given:
    url, secret, media_type, size, head, tail = given[:6]
    given = given[6:]
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"authorization": f"Bearer {secret}", "content-type": media_type}
    body = head.encode() + b"x" * (int(size) - len(head) - len(tail)) + tail.encode()
    try:
        connection.request("POST", parts.path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        print(answer.status, answer.getheader("retry-after", "-"), "error" if b'"error"' in text else "nothing")
    except OSError as error:
        print("lost", type(error).__name__)
    connection.close()
