# What a release has to pass. docs/releasing.md tells the order; `make release-check` runs it all on a clean tree.

RELEASE := go run ./internal/release
VULN_VERSION := v1.9.0
# The newest Go of each of the two lines that are supported.
GO_VERSIONS ?= go1.25.14 go1.26.11
# In the order of a release: cheap ones first.
RELEASE_STEPS := fmt-check tidy-check licence-check doc-check spelling api-check apidiff reproducible modules-check lint test allocs \
	examples oldest go-versions newest

.PHONY: api api-check apidiff licences licence-check doc-check oldest newest go-versions modules-check reproducible \
	vulncheck release-clean release-check prepare

api: ## list the exported API anew, in api/
	$(RELEASE) api -write

api-check: ## fail where the exported API is not what api/ lists
	$(RELEASE) api

apidiff: ## fail where the API has changed incompatibly since the last tag
	$(RELEASE) apidiff

licences: ## list the licences of dependencies anew, in docs/licences.md
	$(RELEASE) licences -write

licence-check: ## fail where a licence is unknown, asks too much of users, or is not listed
	$(RELEASE) licences

doc-check: ## fail where a package lacks its doc, a name its comment, or an Example its output
	$(RELEASE) examples

oldest: ## published modules with the Go version and the dependencies that their go.mod names
	$(RELEASE) oldest

newest: ## and with the newest dependencies there are
	$(RELEASE) newest

go-versions: ## the root module with each of GO_VERSIONS
	@set -e; for v in $(GO_VERSIONS); do echo "== $$v"; GOTOOLCHAIN=$$v go build ./...; GOTOOLCHAIN=$$v go test -short ./...; done

modules-check: ## every published module, as somebody who gets it by its path sees it
	@diff <(git ls-files 'go.mod' '*/go.mod' | xargs dirname | sort) <(printf '%s\n' $(ALL_MODULES) | sort) || \
		{ echo "the modules of the tree (<) are not those of the Makefile (>)" >&2; exit 1; }
	$(RELEASE) modules

reproducible: ## pack every published module twice, and print the hashes
	$(RELEASE) reproducible

vulncheck: ## known vulnerabilities in what is called: asks the vulnerability database of Go
	@set -e; for m in $(ALL_MODULES); do echo "== $$m"; \
		(cd $$m && go run golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION) ./...); done

release-clean:
	@test -z "$$(git status --porcelain)" || { git status --short; echo "the tree has changes: commit them first" >&2; exit 1; }

release-check: release-clean ## everything that a release has to pass, and a summary
	@failed=0; summary=; for s in $(RELEASE_STEPS); do \
		echo "=== $$s"; began=$$SECONDS; said=passed; \
		$(MAKE) --no-print-directory $$s || { said=FAILED; failed=1; }; \
		summary+=$$(printf '%-16s %-7s %5d s' $$s $$said $$((SECONDS - began)))$$'\n'; \
	done; \
	echo "=== release of $$(git rev-parse HEAD)"; printf '%s' "$$summary"; \
	$(MAKE) --no-print-directory release-clean || failed=1; \
	exit $$failed

prepare: release-clean ## edit every go.mod for the commit that is tagged VERSION
	$(RELEASE) prepare -version $(VERSION)
