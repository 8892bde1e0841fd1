// What the adapters share: an HTTP server that configures a verifier and asks it about tokens.
//
// configure(policy) returns { verify, unsupported }; verify(token) rejects if the token is not accepted, and unavailable(error)
// tells whether the keys could not be had.
import { createServer } from 'node:http';

export function serve(configure, unavailable) {
  let verifier;
  createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text);
    let answer = {};
    if (request.url === '/configure') {
      verifier = configure(body);
      answer = { unsupported: verifier.unsupported };
    } else {
      try {
        await verifier.verify(body.token);
        answer = { result: 'accept' };
      } catch (error) {
        answer = { result: unavailable(error) ? 'unavailable' : 'invalid', detail: `${error.name} ${error.code ?? ''}: ${error.message}` };
      }
    }
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(answer));
  }).listen(process.env.PORT, '127.0.0.1');
}
