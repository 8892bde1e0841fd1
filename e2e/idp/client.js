// A client that proves possession of its key by DPoP (RFC 9449), with oauth4webapi.
//
//   node client.js
//
// It answers these commands as region.js does:
//
//   {"do":"token","issuer":...,"alg":...}   a token by client credentials, bound to a new key for alg
//   {"do":"get","url":...}                  status and region of a request with the last token and a new proof
import { createInterface } from 'node:readline';
import * as oauth from 'oauth4webapi';

const client = { client_id: 'machine' };
const loopback = { [oauth.allowInsecureRequests]: true };
let DPoP, token;

// Once more with the nonce of the server, if it asks for one: the handle remembers it.
async function withNonce(send) {
  try {
    return await send();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return send();
  }
}

const commands = {
  async token({ issuer, alg }) {
    const url = new URL(issuer);
    const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, loopback));
    DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg));
    const got = await withNonce(async () => oauth.processClientCredentialsResponse(as, client,
      await oauth.clientCredentialsGrantRequest(as, client, oauth.ClientSecretBasic('secret'), { scope: 'orders/read' },
        { ...loopback, DPoP })));
    token = got.access_token;
    return { event: 'token', token };
  },
  async get({ url }) {
    try {
      const got = await withNonce(() => oauth.protectedResourceRequest(token, 'GET', new URL(url), undefined, undefined,
        { ...loopback, DPoP }));
      return { event: 'got', status: got.status, region: got.headers.get('region') };
    } catch (error) {
      if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
      return { event: 'got', status: error.status };
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await commands[command.do](command))}\n`);
}
