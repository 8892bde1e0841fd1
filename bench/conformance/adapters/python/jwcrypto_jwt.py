# jwcrypto, as its documentation of JWT and JWKSet has it. It fetches no keys: that is for the application.
import urllib.request

from jwcrypto.jwk import JWKSet
from jwcrypto.jwt import JWT

from adapter import serve


def configure(policy):
    issuer = policy['issuers'][0]
    claims = {'iss': issuer['issuer'], 'aud': policy['audience'][0] if policy.get('audience') else None, 'exp': None}

    def verify(token):
        with urllib.request.urlopen(issuer['jwks_uri'], timeout=5) as response:
            keys = JWKSet.from_json(response.read())
        checked = JWT(algs=policy['algorithms'], check_claims=claims)
        checked.leeway = policy['leeway']
        checked.deserialize(token, keys)

    return verify, ['fetch', 'issuers', 'types', 'scopes', 'revocation', 'cognito', 'Ed25519']


serve(configure, lambda error: isinstance(error, OSError))
