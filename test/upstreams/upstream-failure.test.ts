import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { errorBody, GatewayError } from '../../src/base/errors.js';
import { retryAfterMsOf, upstreamFailure } from '../../src/upstreams/upstream-failure.js';
import { runs } from '../helpers/depth.js';

describe('upstreamFailure', () => {
  const said = { message: 'Said by the upstream.', type: 'some_type', code: 'some_code', param: 'messages[0]' };

  it('keeps status and meaning of what is about the client’s request', () => {
    for (const status of [400, 404, 409, 413, 422, 429]) {
      const error = upstreamFailure({ status, body: { error: said }, retryAfterMs: 1_500, cause: new Error('sdk') });
      assert.equal(error.status, status);
      assert.deepEqual(errorBody(error), { error: said });
      assert.equal(error.retryAfterMs, 1_500);
      assert.equal(error.cause, undefined);
    }
  });

  it('says whether retrying can help', () => {
    const retries = (status: number, body: unknown = {}) => upstreamFailure({ status, body }).shouldRetry;
    for (const status of [400, 401, 402, 403, 404, 405, 413, 418, 422])
      assert.equal(retries(status), false, `${status}`);
    for (const status of [408, 429, 503, 504, 529]) assert.equal(retries(status), true, `${status}`);
    for (const status of [409, 500, 502]) assert.equal(retries(status), undefined, `${status}`);
    assert.equal(retries(429, { error: { code: 'insufficient_quota' } }), false);
  });

  it('keeps 5xx as an upstream’s 5xx, and its words for `onError`', () => {
    const expected = [
      [500, 502, 'upstream_error'],
      [502, 502, 'upstream_error'],
      [503, 503, 'upstream_unavailable'],
      [504, 504, 'upstream_timeout'],
      [529, 503, 'upstream_unavailable'],
      [520, 502, 'upstream_error'],
      [408, 504, 'upstream_timeout'],
    ] as const;
    for (const [status, shown, code] of expected) {
      const error = upstreamFailure({ status, body: { error: { message: 'Overheated.' } } });
      assert.equal(error.status, shown);
      const { message, ...kind } = errorBody(error).error;
      assert.deepEqual(kind, { type: 'server_error', param: null, code });
      assert.match(message, /^The upstream /);
      assert.ok(error.cause instanceof Error);
      assert.match(error.cause.message, /Overheated\.$/);
    }
    assert.equal(upstreamFailure({ status: 500, body: { error: said } }).code, 'some_code');
  });

  it('says nothing about the gateway’s own key, address or account', () => {
    const secret = 'sk-proj-CANARYCANARYCANARY at https://internal.example/v1';
    const error = { message: `Incorrect API key provided: ${secret}`, type: 'x', code: 'y', param: secret };
    const cause = new Error(secret);
    const cases = [
      [401, { error }, 502, 'upstream_error'],
      [403, { error }, 502, 'upstream_error'],
      [407, { error }, 502, 'upstream_error'],
      [405, { error }, 502, 'upstream_error'],
      [400, { error: { ...error, code: 'invalid_api_key' } }, 502, 'upstream_error'],
      [402, { error }, 503, 'upstream_unavailable'],
      [429, { error: { ...error, code: 'insufficient_quota' } }, 503, 'upstream_unavailable'],
      [429, { error: { ...error, type: 'insufficient_quota' } }, 503, 'upstream_unavailable'],
      [400, { error: { ...error, code: 'billing_hard_limit_reached' } }, 503, 'upstream_unavailable'],
      [404, '<html>nginx</html>', 502, 'upstream_error'],
      [404, undefined, 502, 'upstream_error'],
    ] as const;
    for (const [status, body, shown, code] of cases) {
      const failure = upstreamFailure({ status, body, cause });
      assert.equal(failure.status, shown);
      assert.equal(failure.code, code);
      assert.equal(failure.param, null);
      assert.equal(failure.type, 'server_error');
      assert.equal(failure.shouldRetry, false);
      assert.doesNotMatch(failure.message, /CANARY|internal|key|quota|https/i);
      assert.equal(failure.cause, cause);
    }
  });

  it('makes a cause without secrets where none is given', () => {
    const { cause } = upstreamFailure({ status: 401, body: { error: { message: 'Bad key sk-CANARY1234.' } } });
    assert.ok(cause instanceof Error);
    assert.equal(cause.message, 'The upstream answered 401: Bad key [redacted].');
  });

  it('reads the shapes in use', () => {
    const bodies = [
      { error: { message: 'No.', type: null, code: null, param: null } },
      [{ error: { message: 'No.', status: 'INVALID_ARGUMENT' } }],
      { error: 'No.' },
      { message: 'No.', object: 'error' },
      { detail: 'No.' },
      ['No.'],
      { errors: ['No.'] },
      { errors: 'No.' },
      { Message: 'No.' },
      { Message: 'No.', __type: 'ValidationException' },
      { Error: { Message: 'No.' } },
      { Error: 'No.' },
      { fault: { faultstring: 'No.', detail: { errorcode: 'x.y' } } },
      { fault: { message: 'No.' } },
      { errorMessage: 'No.' },
    ];
    for (const body of bodies) {
      assert.deepEqual(errorBody(upstreamFailure({ status: 400, body })), {
        error: { message: 'No.', type: 'invalid_request_error', param: null, code: null },
      });
    }
  });

  it('keeps the words of lists and of AWS as it keeps others: redacted, with their code, and no 5xx', () => {
    const told = upstreamFailure({ status: 400, body: ['Too long.', 'See http://10.0.0.5/x'] });
    assert.equal(told.message, 'Too long.; See [redacted]');
    const aws = upstreamFailure({ status: 400, body: { Error: { Code: 'Throttled', Message: 'At gpu-box:8000' } } });
    assert.deepEqual([aws.code, aws.message], ['Throttled', 'At [redacted]']);
    for (const body of [['Oops.'], { Message: 'Oops.' }, { fault: { faultstring: 'Oops.' } }]) {
      assert.equal(upstreamFailure({ status: 500, body }).message, 'The upstream failed.');
    }
  });

  it('has words of its own where the upstream has none', () => {
    const bodies = [
      undefined,
      null,
      7,
      '',
      'text',
      [],
      {},
      { error: null },
      { error: {} },
      { error: [] },
      { error: { message: 5, type: [], param: {}, code: true } },
    ];
    for (const body of bodies) {
      for (const status of [400, 409, 413, 422, 429, 500, 503, 504]) {
        const { message, type, code, param } = upstreamFailure({ status, body });
        assert.match(message, /upstream/i);
        assert.match(type, /_error$/);
        assert.equal(param, null);
        assert.ok(code === null || /^(rate_limit_exceeded|upstream_)/.test(code));
      }
    }
  });

  it('makes of each status that says no more one of a few errors, in words of its own', () => {
    const unable = [503, 'upstream_unavailable', 'The upstream cannot take the call right now.'];
    const late = [504, 'upstream_timeout', 'The upstream did not answer in time.'];
    const failed = [502, 'upstream_error', 'The upstream failed.'];
    const misconfigured = [502, 'upstream_error', 'The upstream refused the gateway.'];
    const told: Readonly<Record<number, readonly unknown[]>> = {
      400: [400, null, 'The upstream refused the request as invalid.'],
      402: unable,
      408: late,
      409: [409, null, 'The upstream reports a conflict. Please retry.'],
      413: [413, null, 'The request is too large for the upstream.'],
      422: [422, null, 'The upstream refused the request as invalid.'],
      429: [429, 'rate_limit_exceeded', 'The upstream is rate limited.'],
      503: unable,
      504: late,
      529: unable,
    };
    for (let status = 400; status < 600; status += 1) {
      const error = upstreamFailure({ status, body: '' });
      const expected = told[status] ?? (status < 500 ? misconfigured : failed);
      assert.deepEqual([error.status, error.code, error.message], expected, String(status));
    }
  });

  it('turns numeric codes into text and bounds every text', () => {
    const long = 'word '.repeat(20_000);
    const error = upstreamFailure({
      status: 400,
      body: { error: { message: long, type: long, code: 404, param: long } },
    });
    assert.equal(error.code, '404');
    assert.deepEqual([error.message.length, error.type.length, error.param?.length], [1_000, 100, 200]);
    const cut = upstreamFailure({ status: 400, body: { error: { message: `${'x'.repeat(990)} acme-secret-9b` } } });
    assert.equal(cut.message, `${'x'.repeat(990)} `, 'half a word could be half a name');
  });

  it('keeps what the sender looks for when an upstream does not know stream_options', () => {
    const message = 'Unrecognized request argument supplied: stream_options';
    const error = upstreamFailure({ status: 400, body: { error: { message, param: 'stream_options.include_usage' } } });
    assert.equal(error.status, 400);
    assert.equal(error.param, 'stream_options.include_usage');
    assert.equal(error.message, message);
  });

  it('redacts what looks like an address, a key or an account', () => {
    const cases = [
      ['See https://platform.openai.com/docs?x=1#y for more.'],
      ['You can find your API key at https://platform.openai.com/account/api-keys.'],
      ['Contact us through our help center at help.openai.com.'],
      ['See http://platform.openai.com.evil.example/docs', 'See [redacted]'],
      ['See https://platform.openai.com@evil.example/x', 'See [redacted]'],
      ['in organization org-SECRET on requests', 'in organization [redacted] on requests'],
      ['in organization `acme-corp` service tier `on_demand`', 'in organization `[redacted]` service tier `on_demand`'],
      ['project id proj_x91z has no access', 'project id [redacted] has no access'],
      ['too many requests for team 1a2b3c and user u-17x', 'too many requests for team [redacted] and user [redacted]'],
      ['rate limit exceeded, account: 1a2b3c', 'rate limit exceeded, account: [redacted]'],
      ['account:1a2b3c team=acme_corp', 'account:[redacted] team=[redacted]'],
      ['team with id 1a2b3c, account_id: 77-88', 'team with id [redacted], account_id: [redacted]'],
      ['{"projectId": "1a2b3c"}', '{"projectId": "[redacted]"}'],
      ['Unsupported parameters: user, parallel_tool_calls'],
      ["Unrecognized keys: 'user', 'max_tokens'"],
      ['at most 60 requests per user: 61 given'],
      ['roles must alternate user/assistant; the account has no credit-card'],
      ['secret /srv/models/x.gguf failed', 'secret [redacted] failed'],
      ['model=/models/llama.gguf: not loaded', 'model=[redacted]: not loaded'],
      ['File "/app/vllm/serving.py", line 12', 'File "[redacted]", line 12'],
      ['at C:\\models\\llama.bin', 'at [redacted]'],
      ['at C:\\Users\\ann, d:/data/models and \\\\box\\share', 'at [redacted], [redacted] and [redacted]'],
      ['cache=E:\\hub dir:F:/x', 'cache=[redacted] dir:[redacted]'],
      ['cannot reach localhost now', 'cannot reach [redacted] now'],
      ['no ~/.cache/huggingface here', 'no [redacted] here'],
      ['loading models/llama-3.safetensors', 'loading [redacted]'],
      ['cannot reach 10.1.2.3 now', 'cannot reach [redacted] now'],
      ['cannot reach [2001:db8::17]:8000', 'cannot reach [[redacted]]:8000'],
      ['cannot reach fe80::1%eth0', 'cannot reach [redacted]'],
      ['cannot reach llm.internal.corp', 'cannot reach [redacted]'],
      ['cannot reach gpu-box:8000', 'cannot reach [redacted]'],
      ['getaddrinfo ENOTFOUND gpubox', 'getaddrinfo ENOTFOUND [redacted]'],
      ['ask ops@acme.example', 'ask [redacted]'],
      ['no route to host gpu-box-7', 'no route to host [redacted]'],
      ['server llm-backend-3 timed out, node: gpu12', 'server [redacted] timed out, node: [redacted]'],
      ['pod vllm-7d9f8c6b5-x2k4q died; host=gpu07', 'pod [redacted] died; host=[redacted]'],
      ['upstream gpu-box-7.prod refused', 'upstream [redacted] refused'],
      ['cannot reach inference.example.museum', 'cannot reach [redacted]'],
      [
        'connect to [fe80::1%25eth0]:80, ::1 and 2001:db8:85a3:0:0:8a2e:370:7334',
        'connect to [[redacted]]:80, [redacted] and [redacted]',
      ],
      ['::ffff:10.0.0.1 said no', '[redacted] said no'],
      ['the server rate-limited 3 calls; the host is down; server v1.2.3; worker 3; node 20'],
      ['Error at 2026-11-28T10:00:00Z: ratio 1:2:3 or 12:30:45'],
      ['This is not a chat model. Did you mean to use /v1/completions or v1/completions?'],
      ['body.frequency_penalty: Extra inputs are not permitted; body.temperature: too high'],
      ["Invalid 'tools[0].function.name' at /messages/0/content, see tools.0.function.name"],
      ['The model `meta-llama/Llama-3.1-8B-Instruct` and gpt-4.1-mini do not exist, e.g. here and/or there.'],
      ['connect to http://10.0.0.5:8000/v1', 'connect to [redacted]'],
      ['postgres://user:pass@db/x is down', '[redacted] is down'],
      ['see \\\\fileserver\\share or D:/a/b', 'see [redacted] or [redacted]'],
      [
        'x-api-key: Zm9vYmFy, api_key=abc and password: hunter2',
        'x-api-key: [redacted], api_key=[redacted] and password: [redacted]',
      ],
      ['Incorrect API key provided: abcd1234****wxyz.', 'Incorrect API key provided: [redacted].'],
      [
        'keys csk-abcdefgh github_pat_abcd glpat-abcdefgh xoxb-1234-abcd',
        'keys [redacted] [redacted] [redacted] [redacted]',
      ],
      ['key zX9yQ2abcdEFGHijklMNOPqrstUVWX12 is bad', 'key [redacted] is bad'],
      ['no tool call with call_id call_zX9yQ2abcdEFGHijklMNOPqr and chatcmpl-zX9yQ2abcdEFGHijklMNOPqr'],
      ['no access to arn:aws:bedrock:us-east-1:123456789012:model/x', 'no access to [redacted]'],
      [
        'Model `projects/acme-prod/locations/us/models/x` not found',
        'Model `[redacted]/locations/us/models/x` not found',
      ],
      [
        'host vllm-7b refused, ip-10-0-0-12 and db01.acme.zone, too',
        'host [redacted] refused, [redacted] and [redacted], too',
      ],
      [
        'see https://platform.openai.com/settings/org-SECRET9/limits',
        'see https://platform.openai.com/settings/[redacted]/limits',
      ],
      ['server error 500, host name is unknown'],
      ['key sk-proj-abc_DEF-123 is bad', 'key [redacted] is bad'],
      ['key sk-abcd****wxyz is bad', 'key [redacted] is bad'],
      ['sent Authorization: Bearer abc.def-ghi.', 'sent Authorization: Bearer [redacted]'],
      ['sent bearer ABCDEF', 'sent bearer [redacted]'],
      ['connect ECONNREFUSED 10.1.2.3:8000', 'connect ECONNREFUSED [redacted]'],
      ['cannot reach llm.internal.corp:8443', 'cannot reach [redacted]'],
      ['cannot reach localhost:11434', 'cannot reach [redacted]'],
      ['Azure key 0123456789abcdef0123456789ABCDEF', 'Azure key [redacted]'],
      ['Google key AIzaSyA1234567890abcdefghi', 'Google key [redacted]'],
      ['token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc', 'token [redacted]'],
      ['in organization org-AbCdEfGhIjKlMnOpQrStUvWx on', 'in organization [redacted] on'],
      [
        'Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.',
      ],
      [
        "Invalid type for 'messages[0].content': expected one of a string or array of objects, but got an integer instead.",
      ],
      ['Unsupported value: task-force, disk-drive, key-value, 12:30, ratio 1:20, v1.2.3'],
    ] as const;
    for (const [message, expected = message] of cases) {
      assert.equal(upstreamFailure({ status: 400, body: { error: { message } } }).message, expected);
    }
    const { type, code, param } = upstreamFailure({
      status: 400,
      body: { error: { message: 'x', type: 'sk-CANARY', code: 'sk-CANARY', param: 'sk-CANARY' } },
    });
    assert.deepEqual([type, code, param], ['[redacted]', '[redacted]', '[redacted]']);
  });

  it('stands every body and every status, in little time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 599 }), fc.oneof(fc.jsonValue(), fc.anything()), (status, body) => {
        const error = upstreamFailure({ status, body: { error: body } });
        assert.ok(error instanceof GatewayError);
        assert.ok(error.status >= 400 && error.status <= 599 && error.status !== 401 && error.status !== 403);
        JSON.stringify(errorBody(error));
        assert.ok(upstreamFailure({ status, body }) instanceof GatewayError);
      }),
      runs(200),
    );
    for (const unit of [
      'a',
      'a-',
      'a.',
      'sk-',
      '1.',
      'ab://',
      'Bearer ',
      'eyJ',
      'a.b:',
      '9:',
      '\u0000',
      'é',
      '/',
      '/a',
      'org-',
      'a=/',
      '::',
      'a@',
      '~/',
      '\\',
      'a-1',
    ]) {
      upstreamFailure({ status: 400, body: { error: { message: unit.repeat(500_000) } } });
    }
  });
});

describe('retryAfterMsOf', () => {
  const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT');
  const read = (headers: Record<string, string | null | undefined>) =>
    retryAfterMsOf({ get: (name) => headers[name] }, { wallMs: () => now });

  it('reads milliseconds, seconds and dates, whole and at most a minute', () => {
    assert.equal(read({ 'retry-after-ms': '250' }), 250);
    assert.equal(read({ 'retry-after-ms': '250.2', 'retry-after': '9' }), 251);
    assert.equal(read({ 'retry-after': '20' }), 20_000);
    assert.equal(read({ 'retry-after': '0' }), 0);
    assert.equal(read({ 'retry-after': '1.5' }), 1_500);
    assert.equal(read({ 'retry-after': ' 2 ' }), 2_000);
    assert.equal(read({ 'retry-after': 'Wed, 21 Oct 2026 07:28:30 GMT' }), 30_000);
    assert.equal(read({ 'retry-after': 'Wednesday, 21-Oct-26 07:28:30 GMT' }), 30_000);
    assert.equal(read({ 'retry-after': 'Wed, 21 Oct 2026 07:27:00 GMT' }), 0);
    assert.equal(read({ 'retry-after': 'Thu, 21 Oct 2027 07:28:00 GMT' }), 60_000);
    assert.equal(read({ 'retry-after': '86400' }), 60_000);
    assert.equal(read({ 'retry-after-ms': 'soon', 'retry-after': '3' }), 3_000);
  });

  it('knows nothing of what makes no sense', () => {
    assert.equal(read({}), undefined);
    assert.equal(read({ 'retry-after': null }), undefined);
    for (const text of [
      '',
      ' ',
      'soon',
      '-1',
      '1e9',
      'Infinity',
      'NaN',
      '0x10',
      '1,5',
      'soon 5',
      'Xyz, 99 Foo 2026 GMT',
      '2026-10-21',
      '9'.repeat(400),
    ]) {
      assert.equal(read({ 'retry-after': text, 'retry-after-ms': text }), undefined, text);
    }
  });

  it('reads the headers of fetch, by the machine’s clock', () => {
    assert.equal(retryAfterMsOf(new Headers({ 'Retry-After': '7' })), 7_000);
    const date = new Date(Date.now() + 40_000).toUTCString();
    const waitMs = retryAfterMsOf(new Headers({ 'Retry-After': date })) ?? 0;
    assert.ok(waitMs > 10_000 && waitMs <= 40_000, `${waitMs}`);
  });
});
