import { type Awaitable, isPending } from '../../base/awaitable.js';
import { shuttingDown } from '../../base/errors.js';
import { checkRoom } from '../../call/admit.js';
import { Call } from '../../call/call.js';
import { failCall } from '../../call/failure.js';
import type { Exchange } from '../../call/state.js';
import type { ReadCall } from '../../call/terms.js';
import type { GatewayResponse } from '../../http/exchange.js';
import type { BodyReader } from '../../http/read-body.js';
import type { BegunAnswer } from '../../upstreams/send.js';
import type { ModelEndpoint } from '../../wire/model-endpoint.js';
import { checkNoOtherModels } from '../../wire/model-request.js';
import { answerInBackground } from '../responses/background.js';
import { answerModel, askUpstream } from './answer.js';
import { prepare } from './prepare.js';
import { memberNames, needsPreparing, readCall } from './read-call.js';

/**
 * How often a large request is in memory: as it came and as it goes out, and for a response in the objects that it is made with.
 */
const copiesOf = ({ operation }: ModelEndpoint): number => (operation === 'responses' ? 4 : 2);

/** One call to a model, from its bytes to the end of its answer. */
export function callModel(exchange: Exchange, endpoint: ModelEndpoint): Promise<GatewayResponse> {
  return new Promise((resolve) => new ModelCall(new Call(exchange, endpoint), resolve).begin());
}

/**
 * The steps of such a call, each of which calls the next one: an ordinary call waits for its body and its answer alone, and a
 * step that awaited them would cost two promises and half a kilobyte.
 */
class ModelCall implements BodyReader {
  private readonly call: Call;
  private readonly resolve: (response: Awaitable<GatewayResponse>) => void;

  constructor(call: Call, resolve: (response: Awaitable<GatewayResponse>) => void) {
    this.call = call;
    this.resolve = resolve;
  }

  begin(): void {
    const { exchange } = this.call;
    try {
      checkRoom(exchange.state);
      exchange.takeBody(this);
    } catch (error) {
      this.onFailure(error);
    }
  }

  onBody(bytes: Uint8Array): void {
    try {
      const { exchange, endpoint } = this.call;
      const held = exchange.holdCopies(bytes, copiesOf(endpoint));
      const going = isPending(held) ? held.then(() => this.onHeld(bytes)) : this.onHeld(bytes);
      if (isPending(going)) going.then(undefined, (error) => this.onFailure(error));
    } catch (error) {
      this.onFailure(error);
    }
  }

  private onHeld(bytes: Uint8Array): Awaitable<void> {
    const { exchange, endpoint } = this.call;
    const read = readCall(endpoint, bytes, exchange.state.config.json.request);
    return isPending(read) ? read.then((call) => this.onRead(call)) : this.onRead(read);
  }

  private onRead(read: ReadCall): Awaitable<void> {
    const { call } = this;
    const { exchange } = call;
    call.take(read);
    // What is sent may be another body: this one must not live as long as the call.
    exchange.forgetBody();
    if (exchange.caller.models !== undefined) checkNoOtherModels(memberNames(call.document));
    call.choose();
    return needsPreparing(call) ? this.prepare() : this.admit();
  }

  private async prepare(): Promise<void> {
    const { call } = this;
    await prepare(call);
    await call.exchange.holdCopies(call.document.bytes, copiesOf(call.endpoint));
    await this.admit();
  }

  private admit(): Awaitable<void> {
    const { call } = this;
    const { exchange } = call;
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (exchange.state.closed !== undefined) throw shuttingDown();
    exchange.phases?.mark('parse');
    if (call.isBackground) call.detach();
    const admitting = call.admit();
    return isPending(admitting) ? admitting.then(() => this.ask()) : this.ask();
  }

  private ask(): void {
    const { call } = this;
    const onFailure = (error: unknown): void => this.onFailure(error);
    if (call.isBackground) answerInBackground(call).then(this.resolve, onFailure);
    else askUpstream(call).then((answer) => this.onAnswer(answer), onFailure);
  }

  private onAnswer(answer: BegunAnswer): void {
    try {
      const response = answerModel(this.call, answer);
      if (isPending(response)) response.then(this.resolve, (error) => this.onFailure(error));
      else this.resolve(response);
    } catch (error) {
      this.onFailure(error);
    }
  }

  onFailure(error: unknown): void {
    this.resolve(failCall(this.call, error));
  }
}
