// jose, as its documentation of createRemoteJWKSet and jwtVerify has it.
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { serve } from './adapter.js';

serve(
  ({ issuers, audience, algorithms, leeway, refresh, types }) => {
    const keys = createRemoteJWKSet(new URL(issuers[0].jwks_uri), refresh ? { cacheMaxAge: refresh * 1000 } : {});
    const options = { issuer: issuers[0].issuer, audience, algorithms, clockTolerance: leeway, requiredClaims: ['exp'], typ: types?.[0] };
    return {
      unsupported: ['issuers', 'scopes', 'revocation', 'cognito'],
      verify: (token) => jwtVerify(token, keys, options),
    };
  },
  // Every error of a token has a code of its own. What is left is of the fetch.
  (error) =>
    !(error instanceof errors.JOSEError) ||
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    error.code === 'ERR_JOSE_GENERIC',
);
