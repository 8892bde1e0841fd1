// One region of an OpenID provider, on a loopback port, with signing keys of its own.
//
//   node region.js {alg} [port]
//
// It writes one JSON object a line to stdout: {"event":"ready","issuer":...,"kid":...} first, then the answer to each
// command that it reads, also one JSON object a line, from stdin:
//
//   {"do":"rotate"}                         a new key signs from now on; the old ones stay published
//   {"do":"sign","claims":{...},"kid":...}  a token of exactly these claims, signed with the current key, whatever kid says
//
// It ends when stdin does. What the provider has to say of itself goes to stderr.
import { Console } from 'node:console';
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

globalThis.console = new Console(process.stderr);
const { Provider } = await import('oidc-provider');

const [alg = 'RS256', port = '0'] = process.argv.slice(2);
const resource = 'https://api.example.com';

function newKeyPair() {
  if (alg.startsWith('Ed')) return generateKeyPairSync('ed25519');
  if (alg.startsWith('ES')) return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

function newKey() {
  const { privateKey } = newKeyPair();
  const jwk = privateKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(jwk.n ?? jwk.x).digest('base64'); // opaque, with + / =, as some issuers have it
  return { ...jwk, alg, use: 'sig', kid };
}

const newClient = (id, more) => ({
  client_id: id,
  client_secret: 'secret',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: alg,
  ...more,
});

const nonceSecret = randomBytes(32);

// The client "bound" gets no token without a proof (RFC 9449), and "challenged" none without a nonce in it either.
function newProvider(issuer, keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      newClient('machine'),
      newClient('bound', { dpop_bound_access_tokens: true }),
      newClient('challenged', { dpop_bound_access_tokens: true }),
    ],
    scopes: ['orders/read'],
    enabledJWA: { idTokenSigningAlgValues: [alg] },
    features: {
      clientCredentials: { enabled: true },
      dPoP: { enabled: true, nonceSecret, requireNonce: (ctx) => ctx.oidc.client?.clientId === 'challenged' },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'orders/read', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg } },
        }),
      },
    },
    ttl: { ClientCredentials: 600 },
  });
}

function compact(claims, { kid, ...jwk }, name = kid) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part({ alg, typ: 'at+jwt', kid: name })}.${part(claims)}`;
  const key = { key: createPrivateKey({ format: 'jwk', key: jwk }), dsaEncoding: 'ieee-p1363' };
  return `${input}.${sign(alg.startsWith('Ed') ? null : 'sha256', Buffer.from(input), key).toString('base64url')}`;
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const keys = [newKey()];
let handler;
const server = createServer((req, res) => handler(req, res));

server.listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const publish = () => { handler = newProvider(issuer, keys).callback(); };
  publish();
  const commands = {
    rotate: () => {
      keys.unshift(newKey());
      publish();
      return { event: 'rotated', kid: keys[0].kid };
    },
    sign: ({ claims, kid }) => ({ event: 'signed', token: compact(claims, keys[0], kid) }),
  };
  createInterface({ input: process.stdin })
    .on('line', (line) => { const command = JSON.parse(line); say(commands[command.do](command)); })
    .on('close', () => process.exit(0));
  say({ event: 'ready', issuer, kid: keys[0].kid });
});
