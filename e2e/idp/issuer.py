# One region of an issuer that signs with PyJWT and Authlib, on a loopback port, with keys of its own.
#
#   python3 issuer.py [port]
#
# It answers these commands as region.js does:
#
#   {"do":"rotate"}   a new key of each kind signs from now on; the old ones stay published
#   {"do":"tokens"}   tokens by name: each in another habit of these libraries
import base64
import datetime
import json
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.oidc.core.grants.util import generate_id_token
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

API = 'https://api.example.com'
published = []  # JWKs, the newest first
signing = {}  # by kind


def rotate():
    """Makes keys as users of each library do. PyJWT gives a JWK neither kid nor alg; Authlib's kid is the thumbprint."""
    serial = uuid.uuid4().hex
    pem = {'RS256': rsa.generate_private_key(65537, 2048), 'ES256': ec.generate_private_key(ec.SECP256R1())}
    rsa_jwk = json.loads(RSAAlgorithm.to_jwk(pem['RS256'].public_key()))
    numbers = pem['ES256'].public_key().public_numbers()
    ec_jwk = {'kty': 'EC', 'crv': 'P-256', 'x': b64(numbers.x), 'y': b64(numbers.y)}
    for alg, jwk in (('RS256', rsa_jwk), ('ES256', ec_jwk)):
        jwk['kid'] = f'pyjwt-{alg}-{serial}'
        signing[alg] = (pem[alg], jwk['kid'])
        published.insert(0, jwk)
    signing['bare'] = ec.generate_private_key(ec.SECP384R1())
    numbers = signing['bare'].public_key().public_numbers()
    published.insert(0, {'kty': 'EC', 'crv': 'P-384', 'x': b64(numbers.x, 48), 'y': b64(numbers.y, 48)})
    for name, args in (('authlib-rsa', ('RSA', 2048)), ('authlib-okp', ('OKP', 'Ed25519'))):
        key = JsonWebKey.generate_key(*args, options={'use': 'sig'}, is_private=True)
        key.as_dict(add_kid=True)
        signing[name] = key
        published.insert(0, key.as_dict(is_private=False, add_kid=True))


def b64(number, width=32):
    return base64.urlsafe_b64encode(number.to_bytes(width, 'big')).rstrip(b'=').decode()


def tokens():
    now = time.time()
    base = {'iss': issuer, 'sub': 'alice', 'aud': API, 'exp': int(now) + 600}
    utc = datetime.datetime.now(tz=datetime.timezone.utc)
    rs, es, okp, rsa_key = signing['RS256'], signing['ES256'], signing['authlib-okp'], signing['authlib-rsa']

    def pyjwt(claims, key=rs, alg='RS256', **headers):
        return jwt.encode(claims, key[0], alg, headers={'kid': key[1], **headers})

    def authlib(header, claims, key):
        return JsonWebToken([header['alg']]).encode({'kid': key.as_dict(add_kid=True)['kid'], **header}, claims, key).decode()

    return {
        'pyjwt': pyjwt(base),
        'pyjwt, dates': pyjwt({**base, 'exp': utc + datetime.timedelta(minutes=10), 'nbf': utc, 'iat': utc}),
        'pyjwt, times with fractions': pyjwt({**base, 'exp': now + 600.25, 'nbf': now - 0.5, 'iat': now}),
        'pyjwt, list of audiences': pyjwt({**base, 'aud': ['https://other.example.com', API]}),
        'pyjwt, ES256': pyjwt(base, es, 'ES256'),
        'pyjwt, PS256': pyjwt(base, rs, 'PS256'),
        'pyjwt, at+jwt': pyjwt(base, typ='at+jwt'),
        'pyjwt, no typ': pyjwt(base, typ=None),
        'pyjwt, letters outside ASCII': pyjwt({**base, 'sub': 'alice', 'name': 'Zoë 𝄞', 'städte': ['Köln']}),
        'pyjwt, nested and empty values': pyjwt({**base, 'a': {'b': [{}, [], '', None, 1e-7, -0.0, 2**60]}}),
        'authlib': authlib({'alg': 'RS256'}, base, rsa_key),
        'authlib, dates': authlib({'alg': 'RS256'}, {**base, 'exp': utc + datetime.timedelta(minutes=10), 'iat': utc}, rsa_key),
        'authlib, list of one audience': authlib({'alg': 'RS256'}, {**base, 'aud': [API]}, rsa_key),
        'authlib, EdDSA': authlib({'alg': 'EdDSA'}, base, okp),
        'authlib, times with fractions': authlib({'alg': 'RS256'}, {**base, 'exp': now + 600.75, 'iat': now}, rsa_key),
        'authlib, scope': authlib({'alg': 'RS256'}, {**base, 'scope': 'orders/read', 'client_id': 'app'}, rsa_key),
        'no kid: authlib, ID token': generate_id_token({'access_token': 'x'}, {'sub': 'alice', 'email': 'a@example.com'}, rsa_key, issuer,
                                                      ['app'], alg='RS256', nonce='n'),
        'bad: pyjwt, expired': pyjwt({**base, 'exp': now - 120.5}),
        'bad: pyjwt, no exp': pyjwt({k: v for k, v in base.items() if k != 'exp'}),
        'bad: pyjwt, HS256': jwt.encode(base, 'secret' * 8, 'HS256', headers={'kid': rs[1]}),
        'bad: pyjwt, none': jwt.encode(base, None, 'none', headers={'kid': rs[1]}),
        'bad: pyjwt, number as text': pyjwt({**base, 'exp': utc, 'nbf': 'now'}),
        'bad: pyjwt, not a number': pyjwt({**base, 'x': float('nan')}),
        'bad: authlib, other audience': authlib({'alg': 'RS256'}, {**base, 'aud': ['x']}, rsa_key),
        'bad: authlib, key of the other': authlib({'alg': 'RS256', 'kid': rs[1]}, base, rsa_key),
        'bare key: pyjwt': jwt.encode(base, signing['bare'], 'ES384'),
        'bare key: pyjwt, kid': jwt.encode(base, signing['bare'], 'ES384', headers={'kid': 'any'}),
        'no kid: pyjwt': jwt.encode(base, es[0], 'ES256'),
        'no kid: authlib': JsonWebToken(['EdDSA']).encode({'alg': 'EdDSA'}, base,
                                                          okp.as_pem(is_private=True)).decode(),
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        documents = {
            '/.well-known/openid-configuration': {'issuer': issuer, 'jwks_uri': issuer + '/jwks'},
            '/jwks': {'keys': published},
        }
        body = json.dumps(documents.get(self.path)).encode()
        self.send_response(200 if self.path in documents else 404)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def say(**line):
    print(json.dumps(line), flush=True)


server = ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
issuer = f'http://127.0.0.1:{server.server_port}'
rotate()
threading.Thread(target=server.serve_forever, daemon=True).start()
say(event='ready', issuer=issuer, kid=signing['RS256'][1])
for line in sys.stdin:
    if json.loads(line)['do'] == 'rotate':
        rotate()
        say(event='rotated', kid=signing['RS256'][1])
    else:
        say(event='tokens', tokens=tokens())
