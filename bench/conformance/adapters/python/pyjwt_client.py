# PyJWT with PyJWKClient, as its documentation has it.
import json
import urllib.error

import jwt

from adapter import serve


def configure(policy):
    issuer = policy['issuers'][0]
    lifespan = {'lifespan': policy['refresh']} if policy.get('refresh') else {}
    client = jwt.PyJWKClient(issuer['jwks_uri'], **lifespan)

    def verify(token):
        key = client.get_signing_key_from_jwt(token)
        jwt.decode(token, key.key, algorithms=policy['algorithms'], audience=policy['audience'], issuer=issuer['issuer'],
                   leeway=policy['leeway'], options={'require': ['exp']})

    return verify, ['issuers', 'types', 'scopes', 'revocation', 'cognito', 'Ed25519']


# Errors of a token are InvalidTokenErrors, and PyJWKClientError says that there is no such key.
serve(configure, lambda error: isinstance(error, (OSError, urllib.error.URLError, json.JSONDecodeError, jwt.exceptions.PyJWKSetError)))
