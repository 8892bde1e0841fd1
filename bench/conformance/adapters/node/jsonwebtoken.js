// jsonwebtoken with jwks-rsa, as both documentations have it.
import jwt from 'jsonwebtoken';
import jwksClient from 'jwks-rsa';
import { serve } from './adapter.js';

serve(
  ({ issuers, audience, algorithms, leeway, refresh }) => {
    const client = jwksClient({ jwksUri: issuers[0].jwks_uri, ...(refresh ? { cacheMaxAge: refresh * 1000 } : {}) });
    const options = {
      algorithms: algorithms.filter((a) => a !== 'EdDSA' && a !== 'Ed25519'),
      issuer: issuers[0].issuer,
      audience,
      clockTolerance: leeway,
    };
    return {
      unsupported: ['issuers', 'types', 'scopes', 'revocation', 'cognito', 'EdDSA', 'Ed25519'],
      verify: (token) =>
        new Promise((resolve, reject) => {
          let cause;
          const getKey = (header, done) =>
            client.getSigningKey(header.kid, (error, key) => {
              cause = error;
              done(error, key?.getPublicKey());
            });
          jwt.verify(token, getKey, options, (error, claims) => (error ? reject(cause ?? error) : resolve(claims)));
        }),
    };
  },
  // What getSigningKey reports is of the keys, unless there is no such key. The rest is of the token.
  (error) => !['SigningKeyNotFoundError', 'JsonWebTokenError', 'TokenExpiredError', 'NotBeforeError'].includes(error.name),
);
