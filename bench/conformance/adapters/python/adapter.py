# What the adapters share: an HTTP server that configures a verifier and asks it about tokens.
#
# configure(policy) returns (verify, unsupported); verify(token) raises if the token is not accepted, and unavailable(error) tells
# whether the keys could not be had.
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(configure, unavailable):
    state = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
            if self.path == '/configure':
                state['verify'], unsupported = configure(body)
                answer = {'unsupported': unsupported}
            else:
                try:
                    state['verify'](body['token'])
                    answer = {'result': 'accept'}
                except Exception as error:
                    result = 'unavailable' if unavailable(error) else 'invalid'
                    answer = {'result': result, 'detail': f'{type(error).__name__}: {error}'}
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    Server(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
