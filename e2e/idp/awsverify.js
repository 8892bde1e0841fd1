// The verifier of AWS, aws-jwt-verify. It answers each line with the name of the error, or "accepted":
//
//   {"kind":"cognito","options":{...},"jwks":{...},"token":...}
//   {"kind":"alb","options":{...},"pem":...,"token":...}
import { createInterface } from 'node:readline';
import { AlbJwtVerifier, CognitoJwtVerifier } from 'aws-jwt-verify';
import { AlbJwksCache } from 'aws-jwt-verify/alb-cache';

async function verify({ kind, options, jwks, pem, token }) {
  if (kind === 'cognito') {
    const verifier = CognitoJwtVerifier.create(options);
    for (const { userPoolId } of [options].flat()) verifier.cacheJwks(jwks, userPoolId);
    return verifier.verify(token);
  }
  const fetcher = { fetch: async () => new TextEncoder().encode(pem).buffer };
  return AlbJwtVerifier.create(options, { jwksCache: new AlbJwksCache({ fetcher }) }).verify(token);
}

for await (const line of createInterface({ input: process.stdin })) {
  let verdict = 'accepted';
  try {
    await verify(JSON.parse(line));
  } catch (error) {
    verdict = error.constructor.name;
  }
  console.log(JSON.stringify({ event: 'verdict', verdict }));
}
