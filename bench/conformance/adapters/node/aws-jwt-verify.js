// aws-jwt-verify: JwtVerifier for any issuer, CognitoJwtVerifier for tokens of Cognito.
import { CognitoJwtVerifier, JwtVerifier } from 'aws-jwt-verify';
import { FetchError, JwksNotAvailableInCacheError, JwksValidationError, WaitPeriodNotYetEndedJwkError } from 'aws-jwt-verify/error';
import { serve } from './adapter.js';

serve(
  ({ issuers, audience, leeway, profile }) => {
    const unsupported = ['types', 'scopes', 'revocation', 'algorithms', 'PS256', 'PS384', 'PS512', 'Ed25519'];
    if (profile?.startsWith('cognito')) {
      const verifier = CognitoJwtVerifier.create(
        issuers.map((i) => ({
          userPoolId: i.issuer.split('/').pop(),
          clientId: i.audience,
          tokenUse: profile.slice('cognito-'.length),
          jwksUri: i.jwks_uri,
          graceSeconds: leeway,
        })),
      );
      return { unsupported, verify: (token) => verifier.verify(token) };
    }
    const verifier = JwtVerifier.create(
      issuers.map((i) => ({ issuer: i.issuer, audience, jwksUri: i.jwks_uri, graceSeconds: leeway })),
    );
    return { unsupported, verify: (token) => verifier.verify(token) };
  },
  (error) =>
    error instanceof FetchError ||
    error instanceof JwksNotAvailableInCacheError ||
    error instanceof JwksValidationError ||
    error instanceof WaitPeriodNotYetEndedJwkError,
);
