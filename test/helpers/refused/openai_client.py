"""Sends one large upload or chat with OpenAI's own library and prints what it was told."""

import sys

import openai

base_url, secret, kind, size = sys.argv[1:5]
client = openai.OpenAI(base_url=base_url, api_key=secret, max_retries=0)
try:
    if kind == "files":
        client.files.create(file=("a.jsonl", b" " * int(size)), purpose="batch")
    else:
        client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "x" * int(size)}])
    print("200 - nothing")
except openai.APIStatusError as error:
    print(error.status_code, error.response.headers.get("retry-after", "-"), "error" if error.body else "nothing")
