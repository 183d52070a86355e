import { GatewayError } from '../base/errors.js';

// 403 and 429, of keys whose money is limited.

/** A budget is used up, or what is left of it does not suffice: nothing flows back before its period ends. */
export const quotaExceeded = (message: string): GatewayError =>
  new GatewayError({
    status: 429,
    message,
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    shouldRetry: false,
  });

/** A key with a budget asks for what nobody can price beforehand. */
export const notPriced = (what: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key has a budget in US dollars, and ${what}: it can only be used for what is priced.`,
    code: 'model_not_allowed',
    shouldRetry: false,
  });

/** A key with a budget asks a model that cannot be held to what was reserved, unless the client names a ceiling itself. */
export const ceilingNotTaken = (model: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key has a budget in US dollars, and \`${model}\` takes no ceiling on its output from the gateway.`,
    code: 'model_not_allowed',
    shouldRetry: false,
  });
