package check

// level says how bad a finding is.
type level string

// The levels.
const (
	levelError   level = "error"   // tokens that should verify do not, or would not
	levelWarning level = "warning" // one step from there, or not what is wanted
	levelInfo    level = "info"    // to be known
)

// code names what was found. The list is closed, and docs/drill.md has it.
type code string

// The codes.
const (
	codeRegionUnavailable      code = "region_unavailable"
	codeNoOtherRegion          code = "no_other_region"
	codeLossStart              code = "loss_start"
	codeLossRunning            code = "loss_running"
	codeKeyUnusable            code = "key_unusable"
	codeDiscoveryIssuer        code = "discovery_issuer"
	codeURLDown                code = "url_down"
	codeCertificateBad         code = "certificate_invalid"
	codeCertificateSoon        code = "certificate_soon"
	codeRegionHostsUnavailable code = "region_hosts_unavailable"
	codeKeysInconsistent       code = "keys_inconsistent"
	codeKeysDiffer             code = "keys_differ"
	codeKeySkipped             code = "key_skipped"
	codeDiscoveryDown          code = "discovery_down"
	codeDiscoveryBad           code = "discovery_unusable"
	codeIssuerNotServed        code = "issuer_not_served"
	codeSlow                   code = "slow"
	codeNotDrilled             code = "not_drilled"
	codeNotEnabled             code = "not_enabled"
	codeKidReused              code = "kid_reused"
	codeSnapshotNeeded         code = "snapshot_needed"
	codeSharedHost             code = "shared_host"
	codeDiscoveryOther         code = "discovery_other_issuer"
	codeKeysElsewhere          code = "keys_elsewhere"
	codeAuthorizerCache        code = "authorizer_cache"
	codeAuthorizerCacheLong    code = "authorizer_cache_long"
	codeNoTokenEndpoint        code = "no_token_endpoint" //nolint:gosec // no credential
)

// meaning is what a code says, and what to do about it: one sentence each.
type meaning struct {
	level   level
	says    string
	measure string
}

var meanings = map[code]meaning{
	codeRegionUnavailable: {
		levelError, "No URL of the region gives keys that a verifier would use.",
		"See which failure each of its URLs has, repair that first, and run the drill again.",
	},
	codeAuthorizerCacheLong: {
		levelWarning,
		"API Gateway keeps the answer of a Lambda authorizer: what it allows outlives exp and a revocation by that time.",
		"Set the cache's time (authorizerResultTtlInSeconds) to 0, or to at most 60 seconds.",
	},
	codeAuthorizerCache: {
		levelInfo,
		"API Gateway keeps the answer of a Lambda authorizer: what it allows outlives exp and a revocation by that time.",
		"Set the cache's time (authorizerResultTtlInSeconds) to 0 if a revocation must be in effect at once.",
	},
	codeNoOtherRegion: {
		levelError, "There is one region only, so its loss leaves nothing to fail over to.",
		"Name the replica (--replica), or the other region (--issuer), or add one.",
	},
	codeLossStart: {
		levelError, "With the region lost, a service that starts without a snapshot cannot verify these tokens.",
		"Publish the keys outside of the region, too, or let the services keep snapshots (keys.snapshots, --snapshots).",
	},
	codeLossRunning: {
		levelError, "With the region lost, a service that got every key set while it was there cannot verify these tokens.",
		"Find which JWKS URL lists the key; publish it at a URL outside of the region, or at the preferred one, too.",
	},
	codeKeyUnusable: {
		levelError,
		"A JWKS URL lists the key, and yet a verifier rejects tokens that are signed with it, with every region available.",
		"Publish the same document at all JWKS URLs of the region, and no two different keys under one kid.",
	},
	codeDiscoveryIssuer: {
		levelError, "The discovery document names another issuer than the one that is configured.",
		"See which iss tokens really carry (regionjwt inspect), and correct the provider, or the configuration of every service.",
	},
	codeURLDown: {
		levelWarning, "The URL gives no usable key set.",
		"Try it from where the services run; until it answers, the region depends on its other JWKS URLs, or has none.",
	},
	codeCertificateBad: {
		levelWarning, "The certificate of the host is not trusted, so no verifier reads what it says.",
		"Renew or replace the certificate; if it is of a private certificate authority, name that with --ca here " +
			"and in the services' client.",
	},
	codeCertificateSoon: {
		levelWarning, "The certificate of the host ends within the time that --certificate-days sets.",
		"Renew it, and find out why that has not happened by itself.",
	},
	codeRegionHostsUnavailable: {
		levelWarning, "No host of the region itself gives keys; those that a verifier has come from a host of another region.",
		"Repair the region, or enable the replica, before you depend on it: that host would be lost " +
			"with the other region.",
	},
	codeKeysInconsistent: {
		levelWarning,
		"A JWKS URL of the region is missing keys that another one lists, although they should publish the same document.",
		"Wait until a rotation is over and run the drill again; if it stays, they do not belong to the same region.",
	},
	codeKeysDiffer: {
		levelWarning, "Two regions that issue tokens of the same issuer do not list the same keys.",
		"It is intended if each region signs with keys of its own; else wait until a rotation is over, " +
			"and check the replication.",
	},
	codeKeySkipped: {
		levelWarning, "The key set holds a key that verifiers skip: tokens that are signed with it are rejected.",
		"See what is odd about the key at that place, counted from 0, and replace it if it signs tokens.",
	},
	codeDiscoveryDown: {
		levelWarning, "The discovery document cannot be fetched.",
		"Try it from where the services run; those whose JWKS URLs are configured do not need it, other clients do.",
	},
	codeDiscoveryBad: {
		levelWarning, "The discovery document names no jwks_uri that a verifier may fetch from.",
		"Have it name one that begins with https, of 2,048 bytes at most, " +
			"and not on localhost, a loopback or a link-local address.",
	},
	codeIssuerNotServed: {
		levelWarning, "No host answers for an issuer that is configured: 403 or 404, and no other issuer's document is good.",
		"Check the pool ID, or the provider's path, and --cognito-mode: the updated mode's host has no pools " +
			"of the original mode.",
	},
	codeSlow: {
		levelWarning, "The answer took longer than the 2 s that a verifier gives a JWKS URL while another is untried.",
		"Run the drill again; if it stays, prefer another JWKS URL.",
	},
	codeNotDrilled: {
		levelWarning, "The region has no host of its own, so the drill could not lose it.",
		"List a URL of its own for each region (--jwks), if there is one.",
	},
	codeNotEnabled: {
		levelInfo, "The URL says 403 or 404, and another of the region works: it is not enabled here, which is no outage.",
		"Nothing, if the pool is not (yet) in the mode that this host serves.",
	},
	codeKidReused: {
		levelInfo, "Two regions list different keys under one kid.",
		"Nothing for this library, which tries both; other verifiers may not.",
	},
	codeSnapshotNeeded: {
		levelInfo, "With the region lost, a service that starts has these keys from its snapshot only.",
		"Make sure that the snapshots are on a volume that outlives the process, and younger than MaxStale.",
	},
	codeSharedHost: {
		levelInfo, "Several regions prefer the host, so the drill loses it with none of them.",
		"Find out by other means which region answers at this host, and what happens when that one is lost.",
	},
	codeDiscoveryOther: {
		levelInfo, "The discovery document names another issuer of this provider, which the tokens that are issued there name.",
		"Nothing for verifiers that list both.",
	},
	codeKeysElsewhere: {
		levelInfo, "The discovery document names a jwks_uri that is none of the URLs of the regions.",
		"Compare the two, and add it to the region's JWKS URLs if services should use it.",
	},
	codeNoTokenEndpoint: {
		levelInfo, "The discovery document names no token endpoint.",
		"Nothing for verifiers; machine clients need another way to find it.",
	},
}

// finding is one thing that was found.
type finding struct {
	Level   level    `json:"level"`
	Code    code     `json:"code"`
	Region  string   `json:"region,omitempty"` // where it is, or which is lost
	Issuer  string   `json:"issuer,omitempty"`
	URL     string   `json:"url,omitempty"`
	Host    string   `json:"host,omitempty"`
	Keys    []string `json:"kids,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	Meaning string   `json:"meaning"`
	Measure string   `json:"measure"`
}

// maxKids is how many kids a finding names.
const maxKids = 10

// found notes a finding of a code, unless it is there.
func (r *drillReport) found(c code, f finding) {
	m := meanings[c]
	f.Code, f.Level, f.Meaning, f.Measure = c, m.level, m.says, m.measure
	if len(f.Keys) > maxKids {
		f.Keys = f.Keys[:maxKids]
	}
	for _, other := range r.Findings {
		same := other.Region == f.Region && other.Issuer == f.Issuer && other.URL == f.URL && other.Host == f.Host
		if same && other.Code == c && other.Detail == f.Detail {
			return
		}
	}
	r.Findings = append(r.Findings, f)
}

// Codes lists each code with its level, what it means and what to do.
func Codes() map[string][3]string {
	all := map[string][3]string{}
	for c, m := range meanings {
		all[string(c)] = [3]string{string(m.level), m.says, m.measure}
	}
	return all
}
