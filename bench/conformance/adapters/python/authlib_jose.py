# Authlib's authlib.jose, as its documentation of JWT has it. It fetches no keys: that is for the application.
import json
import urllib.request

from authlib.jose import JsonWebKey, JsonWebToken

from adapter import serve


def configure(policy):
    issuer = policy['issuers'][0]
    decoder = JsonWebToken(policy['algorithms'])
    options = {
        'iss': {'essential': True, 'value': issuer['issuer']},
        'aud': {'essential': True, 'values': policy['audience']},
        'exp': {'essential': True},
    }

    def verify(token):
        with urllib.request.urlopen(issuer['jwks_uri'], timeout=5) as response:
            keys = JsonWebKey.import_key_set(json.load(response))
        decoder.decode(token, keys, claims_options=options).validate(leeway=policy['leeway'])

    return verify, ['fetch', 'issuers', 'types', 'scopes', 'revocation', 'cognito', 'Ed25519']


serve(configure, lambda error: isinstance(error, OSError))
