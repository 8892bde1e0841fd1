# What a release must pass. docs/releasing.md has the order; `make release-check` runs it all on a clean tree.

RELEASE := go run ./internal/release
PUBLISHED := $(MODULES) $(REDIS_MODULES)
GO_LICENSES := go run github.com/google/go-licenses@v1.6.0
CYCLONEDX := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
APIDIFF := go run golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4
# Licenses that ask for no more than a notice from users who link the code.
ALLOWED_LICENSES := Apache-2.0,BSD-2-Clause,BSD-3-Clause,ISC,MIT,MIT-0
# A dependency under MPL-2.0: a user who changes one of its files publishes that file, and one who links it owes nothing.
MPL := github.com/hashicorp/golang-lru
VULN_VERSION := v1.9.0
GOVULNCHECK := $(TOOLS)/govulncheck-$(VULN_VERSION)
# The vulnerability database, or a mirror of it: https://... or file:///...
VULN_DB ?= https://vuln.go.dev
# The newest Go of each line from that of the root's go.mod on.
GO_VERSIONS ?= go1.25.14 go1.26.11 go1.27.4
# In the order of a release: cheap ones first.
RELEASE_STEPS := fmt-check tidy-check licence-check sbom-check doc-check spelling api-check apidiff reproducible modules-check lint test allocs \
	examples oldest go-versions newest

.PHONY: api api-check apidiff licence-check sbom sbom-check binaries doc-check oldest newest go-versions modules-check reproducible \
	vulncheck release-clean release-check prepare

api: ## list the exported API in api/
	$(RELEASE) api -write

api-check: ## fail where the exported API is not what api/ lists
	$(RELEASE) api

apidiff: ## fail where the API has changed incompatibly since the last tag of its module
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; changed=; for m in $(PUBLISHED); do prefix=$${m#.}; \
		tag=$$(git -c versionsort.suffix=- for-each-ref --count=1 --sort=-version:refname --format='%(refname:lstrip=2)' \
			"refs/tags/$${prefix:+$$prefix/}v*"); \
		if test -z "$$tag"; then echo "== $$m: no version is tagged yet, so there is nothing to compare with"; continue; fi; \
		echo "== $$m since $$tag"; path=$$(cd $$m && go list -m); \
		rm -rf "$$dir"/*; mkdir "$$dir/old"; git archive "$$tag" | tar -x -C "$$dir/old"; \
		(cd "$$dir/old/$$m" && $(APIDIFF) -m -w "$$dir/before" "$$path"); (cd $$m && $(APIDIFF) -m -w "$$dir/now" "$$path"); \
		found=$$($(APIDIFF) -m -incompatible "$$dir/before" "$$dir/now"); \
		test -z "$$found" || { echo "$$found"; changed+=" $$m"; }; \
	done; \
	test -z "$$changed" || { echo "incompatible changes, see above:$$changed" >&2; exit 1; }

licence-check: ## fail where users would link code whose license is unknown or asks for more than a notice
	@set -e; for m in $(PUBLISHED); do echo "== $$m"; (cd $$m && $(GO_LICENSES) check ./... \
		--allowed_licenses=$(ALLOWED_LICENSES) --ignore=github.com/regionjwt/regionjwt --ignore=$(MPL)); done
	$(GO_LICENSES) check $(MPL)/v2 --allowed_licenses=$(ALLOWED_LICENSES),MPL-2.0

sbom: ## write a CycloneDX bill of materials of each published module into sbom/
	@rm -rf sbom; mkdir sbom
	@set -e; for m in $(PUBLISHED); do echo "== $$m"; name=$${m//\//-}; type=library; test $$m != cmd/regionjwt || type=application; \
		(cd $$m; $(CYCLONEDX) mod -json -type $$type -output "$(CURDIR)/sbom/$${name/#./regionjwt}.json" .); done

sbom-check: sbom ## fail where such a file does not name its module, or a module that is linked, at its version: needs jq
	@set -e -o pipefail; export LC_ALL=C; for m in $(PUBLISHED); do name=$${m//\//-}; file=sbom/$${name/#./regionjwt}.json; \
		jq -r '.metadata.component.name, (.components[] | .name, "\(.name) \(.version)")' $$file | sort >sbom/named; \
		(cd $$m; go list -deps -f '{{with .Module}}{{.Path}}{{if not (or .Main .Replace)}} {{.Version}}{{end}}{{end}}' ./...) | \
			sort -u >sbom/linked; \
		missing=$$(comm -13 sbom/named sbom/linked); test -z "$$missing" || { echo "$$file does not name:" $$missing >&2; exit 1; }; \
		echo "$$file names $$(wc -l <sbom/linked) linked modules"; done; rm sbom/named sbom/linked

# The platforms that the program is built for.
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

binaries: sbom-check ## build the program for each platform into dist/, with the bills of materials and SHA256SUMS
	@rm -rf dist; mkdir dist; cp sbom/*.json dist/
	@set -e; export CGO_ENABLED=0; for p in $(PLATFORMS); do export GOOS=$${p%/*} GOARCH=$${p#*/}; \
		name=regionjwt-$$GOOS-$$GOARCH; test $$GOOS != windows || name+=.exe; \
		(cd cmd/regionjwt; go build -trimpath -ldflags=-buildid= -o "$(CURDIR)/dist/$$name" .); done
	@cd dist; sha256sum * >SHA256SUMS; cat SHA256SUMS

doc-check: ## fail if a package has no doc, a name no comment, or an Example no output
	$(RELEASE) examples

oldest: ## published modules with the Go version and the dependencies that their go.mod names
	$(RELEASE) oldest

newest: ## and with the newest dependencies there are
	$(RELEASE) newest

go-versions: ## the root module with each of GO_VERSIONS
	@failed=; for v in $(GO_VERSIONS); do echo "== $$v"; export GOTOOLCHAIN=$$v; \
		if ! go version; then failed+=" $$v (cannot be had)"; \
		elif ! { go vet ./... && go test -short -shuffle=on ./...; }; then failed+=" $$v"; fi; \
	done; \
	test -z "$$failed" || { echo "the root does not work, or is not tried, with:$$failed" >&2; exit 1; }

modules-check: ## every published module, as somebody who gets it by its path sees it
	@diff <(git ls-files 'go.mod' '*/go.mod' | xargs dirname | sort) <(printf '%s\n' $(ALL_MODULES) | sort) || \
		{ echo "the modules of the tree (<) are not those of the Makefile (>)" >&2; exit 1; }
	$(RELEASE) modules

reproducible: ## pack every published module twice, and print the hashes
	$(RELEASE) reproducible

$(GOVULNCHECK):
	GOBIN=$(TOOLS)/bin go install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	mv $(TOOLS)/bin/govulncheck $@

vulncheck: $(GOVULNCHECK) ## known vulnerabilities in what is called, by VULN_DB: error 3 where there are any, 4 where it cannot be asked
	@found=; unknown=; for m in $(ALL_MODULES); do echo "== $$m"; said=0; \
		(cd $$m && $(GOVULNCHECK) -db $(VULN_DB) ./...) || said=$$?; \
		case $$said in 0) ;; 3) found+=" $$m" ;; *) unknown+=" $$m" ;; esac; \
	done; \
	test -z "$$unknown" || echo "NOT CHECKED, see above:$$unknown. The database was $(VULN_DB): VULN_DB names a mirror" >&2; \
	test -z "$$found" || { echo "vulnerable:$$found" >&2; exit 3; }; \
	test -z "$$unknown" || exit 4

release-clean:
	@test -z "$$(git status --porcelain)" || { git status --short; echo "the tree has changes: commit them first" >&2; exit 1; }

release-check: release-clean ## everything that a release has to pass, and a summary
	@failed=0; summary=; for s in $(RELEASE_STEPS); do \
		echo "=== $$s"; began=$$SECONDS; said=passed; \
		$(MAKE) --no-print-directory $$s || { said=FAILED; failed=1; }; \
		summary+=$$(printf '%-16s %-7s %5d s' $$s $$said $$((SECONDS - began)))$$'\n'; \
	done; \
	echo "=== release of $$(git rev-parse HEAD)"; printf '%s' "$$summary"; \
	echo "not part of it, but of CI: test-rest browser fuzz sim vulncheck"; \
	$(MAKE) --no-print-directory release-clean || failed=1; \
	exit $$failed

prepare: release-clean ## edit every go.mod for the commit that is tagged VERSION
	$(RELEASE) prepare -version $(VERSION)
