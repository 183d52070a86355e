"""Sends one body with Python's own client, which writes all of it before it reads, and prints what it was told."""

import http.client
import sys
from urllib.parse import urlsplit

url, secret, media_type, size = sys.argv[1:5]
parts = urlsplit(url)
connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
headers = {"authorization": f"Bearer {secret}", "content-type": media_type}
connection.request("POST", parts.path, b" " * int(size), headers)
answer = connection.getresponse()
text = answer.read()
print(answer.status, answer.getheader("retry-after", "-"), "error" if b'"error"' in text else "nothing")
