# Tailrace. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BUILD := _build
GO_TOOL := go tool -modfile=$(CURDIR)/internal/tools/go.mod
UI := extension/consoleextension/internal/ui/dist
# What is compiled or embedded (migrations, OpenAPI, the web UI, whose other files change with their names and so with its index.html).
GO_FILES := $(shell find cmd components converter exporter extension internal processor receiver -type f -not -name '*_test.go' -not -name '*.md' -not -path '*/testdata/*' -not -path 'internal/tools/*' -not -path '$(UI)/*' 2>/dev/null) $(UI)/index.html
# Of what `make dist` and `make package` build; `make build` says the version of builder-config.yaml.
VERSION ?= $(shell packaging/version.sh)
PLATFORMS ?= linux-amd64 linux-arm64 darwin-amd64 darwin-arm64
CHDB := embedded/clickhouse/node_modules/@chdb
EXAMPLE := examples/agent/node_modules/.package-lock.json
SDK_APP := test/e2e/sdk/node_modules/.package-lock.json
WEB_MODULES := web/node_modules/.package-lock.json
BROWSER := test/browser/node_modules/.package-lock.json
DOCS_MODULES := docs/node_modules/.package-lock.json
# Unit tests of packages that only exist to be run through the binary live behind the e2e tag.
PKGS := ./...

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' | { if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

.PHONY: build
build: $(BUILD)/tailrace $(BUILD)/tailrace-clickhouse $(BUILD)/tailrace-up $(BUILD)/tailctl ## Build the collector (ocb) and its helpers into _build/

# ocb writes the sources when the manifest or the module changed; Go's own cache makes the rest incremental.
$(BUILD)/src/main.go: builder-config.yaml go.mod extension/natsextension/go.mod internal/tools/go.mod
	@echo "ocb: generating the collector's sources"
	@mkdir -p $(BUILD)
	@CGO_ENABLED=0 $(GO_TOOL) builder --config builder-config.yaml --skip-compilation > $(BUILD)/ocb.log 2>&1 || { cat $(BUILD)/ocb.log; exit 1; }
	@touch $@

$(BUILD)/tailrace: $(BUILD)/src/main.go $(GO_FILES)
	@echo "go build: $@ (a first build takes 2 to 4 minutes)"
	@cd $(BUILD)/src && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o ../tailrace .

$(BUILD)/tailrace-clickhouse: $(wildcard cmd/tailrace-clickhouse/*.go) go.mod
	@CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o $@ ./cmd/tailrace-clickhouse

$(BUILD)/tailrace-up: $(wildcard cmd/tailrace-up/*.go) go.mod
	@CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o $@ ./cmd/tailrace-up

$(BUILD)/tailctl: $(GO_FILES) go.mod
	@CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o $@ ./cmd/tailctl

.PHONY: dist
dist: $(BUILD)/src/main.go ## The programs for all platforms, with bills of materials and checksums, in _build/dist/VERSION (VERSION=… PLATFORMS="linux-amd64 …")
	@for p in $(PLATFORMS); do echo "build: $(VERSION) for $$p"; packaging/build.sh $(VERSION) $${p%-*} $${p#*-} $(BUILD)/dist/$(VERSION)/$$p || exit 1; done
	@cd $(BUILD)/dist/$(VERSION) && find . -type f -not -name SHA256SUMS | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS

.PHONY: package
package: $(BUILD)/src/main.go $(BUILD)/libchdb.so ## Debian packages of this machine's architecture in _build/packages (VERSION=… ARCH=amd64|arm64)
	@packaging/package.sh $(VERSION) $${ARCH:-$$(go env GOARCH)} $(BUILD)/packages

.PHONY: test-package
test-package: $(BUILD)/src/main.go $(BUILD)/libchdb.so ## Packages built twice, installed, upgraded, removed and purged on a clean Debian; the tutorial (about 6 minutes; needs root, debootstrap, systemd-nspawn, the network)
	cd test/package && go test -tags package -count=1 -timeout 60m -v .

.PHONY: check-helm
check-helm: ## The Helm chart: helm lint, rendered, read as strictly as Kubernetes does; the Dockerfile by BuildKit's parser and linter
	cd internal/tools/packages && go mod tidy -diff
	cd internal/tools/helm && go mod tidy -diff && go test -count=1 ./...

.PHONY: clickhouse
clickhouse: $(BUILD)/libchdb.so $(BUILD)/tailrace-clickhouse ## Fetch the embedded ClickHouse once (npm), into a git-ignored folder

$(BUILD)/libchdb.so: embedded/clickhouse/package-lock.json
	@echo "npm ci: the embedded ClickHouse (about 180 MB, once)"
	@mkdir -p $(BUILD)
	@cd embedded/clickhouse && npm ci --no-audit --no-fund --loglevel=error
	@lib=$$(find $(CHDB) -name libchdb.so 2>/dev/null | head -1); \
	  if [ -z "$$lib" ]; then echo "no embedded ClickHouse for $$(uname -sm): install clickhouse and set clickhouse_server.binary in config/local.yaml" >&2; exit 1; fi; \
	  ln -sf "../$$lib" $@ && touch -h $@

.PHONY: example
example: $(EXAMPLE)

$(EXAMPLE): examples/agent/package-lock.json
	@echo "npm ci: the example agent"
	@cd examples/agent && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

$(SDK_APP): test/e2e/sdk/package-lock.json
	@cd test/e2e/sdk && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

$(WEB_MODULES): web/package-lock.json
	@echo "npm ci: what the web UI is built with"
	@cd web && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

$(BROWSER): test/browser/package-lock.json
	@cd test/browser && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

$(DOCS_MODULES): docs/package-lock.json
	@echo "npm ci: what the site of the documentation is built with"
	@cd docs && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

.PHONY: docs
docs: $(DOCS_MODULES) ## The documentation as a site, in _build/docs; a dead link is an error
	@cd docs && npm run --silent build

# The built files are committed, so that whoever builds a collector with the console needs no Node.
.PHONY: web
web: $(WEB_MODULES) ## Build the web UI into the folder that the console embeds
	@cd web && npm run --silent build
	@mkdir -p $(UI) && find $(UI) -mindepth 1 -not -name .gitkeep -delete && cp -R web/dist/. $(UI)/
	@du -sh $(UI)

.PHONY: run
run: build clickhouse example ## Run everything on this machine: collector, embedded ClickHouse, two example servers
	@exec $(BUILD)/tailrace-up --config config/local.yaml

.PHONY: test
test: test-unit test-e2e ## Unit tests with -race, then end-to-end tests against the built binary and the real ClickHouse

.PHONY: test-unit
test-unit: clickhouse ## Unit tests with -race
	go test -race -p 3 -timeout 15m $(PKGS) # tests that wait for servers leave processors free

.PHONY: test-nats
test-nats: build ## Live tail over several collectors: the nats extension with -race, then two real collectors; against a nats-server (Debian: apt-get install nats-server)
	cd extension/natsextension && go test -race -count=1 -timeout 10m ./...
	cd extension/natsextension && go test -tags e2e -count=1 -timeout 10m -run EndToEnd -v .

.PHONY: test-interop
test-interop: clickhouse ## The JSONL files read by DuckDB, ClickHouse and contrib's otlp_json_file; rows beside contrib's exporter (needs jq, zstd, Node)
	cd test/interop/duckdb && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	cd test/interop && go test -count=1 -timeout 10m ./...

# The distribution and one extension more: the manifest is derived, so that the two can't drift apart.
$(BUILD)/object-store/src/main.go: builder-config.yaml go.mod extension/objectstoreextension/go.mod internal/tools/go.mod
	@mkdir -p $(BUILD)/object-store
	@sed -e 's|^extensions:|&\n  - gomod: github.com/tailrace/tailrace/extension/objectstoreextension v0.0.0|' \
	  -e 's|^replaces:|&\n  - github.com/tailrace/tailrace/extension/objectstoreextension => ../../extension/objectstoreextension|' \
	  -e 's|=> ../../|=> ../../../|' -e 's|_build/src|_build/object-store/src|' builder-config.yaml > $(BUILD)/object-store/builder-config.yaml
	@CGO_ENABLED=0 $(GO_TOOL) builder --config $(BUILD)/object-store/builder-config.yaml --skip-compilation > $(BUILD)/object-store/ocb.log 2>&1 || { cat $(BUILD)/object-store/ocb.log; exit 1; }
	@touch $@

.PHONY: build-object-store
build-object-store: $(BUILD)/object-store/src/main.go ## The distribution with object_store, for docs/object-storage.md, into _build/object-store (the first build takes 5 minutes and more)
	@cd $(BUILD)/object-store/src && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o ../tailrace .

.PHONY: test-blob
test-blob: build clickhouse build-object-store ## object_store, whose SDKs are too large for make check: tidy and vet, unit tests with -race and kill points; edge and centre over a real S3-compatible server (versitygw) into ClickHouse, with kills
	cd extension/objectstoreextension && go mod tidy -diff && go vet ./... && go test -race -count=1 ./...
	cd test/blob && go mod tidy -diff && go vet -tags blob ./...
	cd test/blob && CGO_ENABLED=0 go build -trimpath -o ../../$(BUILD)/object-store/versitygw github.com/versity/versitygw/cmd/versitygw
	cd test/blob && go test -tags blob -count=1 -timeout 30m -v .

.PHONY: test-alerts
test-alerts: ## The alert rules of docs/operations by promtool (Debian: apt-get install prometheus)
	cd docs/operations && promtool check rules alerts.yaml && promtool test rules alerts_test.yaml

.PHONY: test-kills
test-kills: clickhouse ## The kill tests of the ingest, long: with each exporter more than 200 kills of the collector, 50 of ClickHouse; and faults of network and disk
	TAILRACE_TEST_KILLS=$${KILLS:-10} go test -race -count=1 -timeout 60m -run 'Kill|TwoCollectors|Faults' -v ./receiver/clickhouseingestreceiver ./internal/clickhousetest

.PHONY: test-cluster
test-cluster: build clickhouse ## A ClickHouse cluster, two shards of two replicas: schema, repetitions, kills, answers (some minutes, Linux on x86-64; Debian: apt-get install zookeeper)
	go test -tags cluster -count=1 -timeout 20m -v ./test/cluster

.PHONY: test-columnar
test-columnar: clickhouse ## clickhouse_columnar beside contrib's exporter: the same rows, the same answers to repeated batches
	cd bench && go test -count=1 -timeout 20m ./columnar

.PHONY: test-e2e
test-e2e: build clickhouse example $(SDK_APP) ## End-to-end tests against the built binary and the real ClickHouse
	go test -tags e2e -count=1 -timeout 20m ./test/e2e/...

.PHONY: test-web
test-web: $(WEB_MODULES) ## Unit tests of the web UI
	@cd web && npm test --silent

.PHONY: test-browser
test-browser: build clickhouse example $(BROWSER) $(WEB_MODULES) ## The web UI in Chromium, against the built binary (needs chromium; CHROMIUM=path)
	@cd test/browser && node --test --test-timeout 1200000 --test-concurrency 1 tests/*.test.mjs

.PHONY: screenshots
screenshots: build clickhouse example $(BROWSER) ## docs/screenshots, of the running product with what its example sends (needs chromium; about ten minutes)
	@cd test/browser && node shots.mjs

.PHONY: bench-web
bench-web: build clickhouse example $(BROWSER) ## Frames, tasks and memory of the live page (ARGS="--seconds 60 --lines 100000 --rate 2000", or "--minutes 10")
	@cd test/browser && node bench.mjs $(ARGS)

.PHONY: bench-fresh
bench-fresh: build clickhouse example $(BROWSER) ## A child prints a line -> it stands in the page, -> REST finds it, at rest and under load (ARGS="--seconds 60 --lines 2000 --spans 200")
	@cd test/browser && node fresh.mjs $(ARGS)

.PHONY: bench-flat
bench-flat: build clickhouse $(BUILD)/peer/peer ## What a record costs in backlogs of 10,000 to 10,000,000 records, of 1 to 1,000 projects, in 1 to 10,000 files (RUNS=3 LARGEST=10000000)
	@cd bench && go build -o ../$(BUILD)/bench-chain ./chain
	@$(BUILD)/bench-chain -build $(BUILD) -only flat -runs $${RUNS:-3} -largest $${LARGEST:-10000000}

.PHONY: check
check: lint check-generated check-tidy check-modules check-configs check-web check-vulns ## Lint, generated diff, tidy diff, every config validated, the web UI rebuilt and compared, known vulnerabilities

.PHONY: lint
lint: ## golangci-lint
	$(GO_TOOL) golangci-lint run ./...
	cd extension/natsextension && $(GO_TOOL) golangci-lint run ./...

.PHONY: generate
generate: ## Run mdatagen for every component, and make docs/reference from the code
	go generate ./...
	cd extension/natsextension && go generate ./...

.PHONY: check-generated
check-generated: generate
	@git diff --exit-code --stat -- '*generated_*' '*.md' '*/documentation.md' || { echo "generated files differ: run 'make generate' and commit" >&2; exit 1; }

.PHONY: check-tidy
check-tidy:
	go mod tidy -diff
	cd internal/tools && go mod tidy -diff
	cd extension/natsextension && go mod tidy -diff
	cd bench && go mod tidy -diff
	cd test/interop && go mod tidy -diff

.PHONY: check-modules
check-modules: ## The nats extension, benchmarks and interop tests, which are modules of their own, compile
	cd extension/natsextension && go vet ./...
	cd bench && go vet ./...
	cd test/interop && go vet ./...

.PHONY: check-configs
check-configs: $(BUILD)/tailrace
	@for c in config/*.yaml; do \
	  TAILRACE_CLICKHOUSE_PASSWORD=only-validated $(BUILD)/tailrace validate --config "$$c" || { echo "$$c is invalid" >&2; exit 1; }; \
	  echo "valid: $$c"; done

# Types, unit tests, and that the committed files are what the sources give.
.PHONY: check-web
check-web: $(WEB_MODULES)
	@cd web && npm run --silent typecheck && npm test --silent && npx vite build --outDir ../$(BUILD)/web-check --emptyOutDir --logLevel warn
	@diff -r -x .gitkeep $(BUILD)/web-check $(UI) || { echo "the committed web UI differs from its sources: run 'make web' and commit" >&2; exit 1; }

# The vulnerability database is a service of its own: where it cannot be reached, that is said and is no failure.
.PHONY: check-vulns
check-vulns:
	@out=$$($(GO_TOOL) govulncheck ./... 2>&1); code=$$?; \
	  if [ $$code -eq 0 ] || ! grep -qE 'fetching vulnerabilities|dial tcp|no such host|403|Forbidden' <<<"$$out"; then echo "$$out"; exit $$code; \
	  else echo "govulncheck: its database cannot be reached from here, not checked"; fi

.PHONY: bench
bench: build clickhouse $(BUILD)/peer/peer ## All comparisons with others, into docs/benchmarks.md and docs/benchmarks.json; about an hour on a quiet machine (RUNS=5 ONLY=lines,chain,flat,live,columnar)
	@cd bench && go build -o ../$(BUILD)/bench-chain ./chain && go build -o ../$(BUILD)/bench-live ./live
	@cd bench && go run ./report -runs $${RUNS:-5} -only "$${ONLY:-}"

.PHONY: bench-go
bench-go: ## Go benchmarks of the hot paths (BENCHTIME=1s COUNT=5)
	go test -run '^$$' -bench . -benchmem -benchtime $${BENCHTIME:-1s} -count $${COUNT:-5} ./internal/... ./exporter/... ./processor/... ./receiver/...

.PHONY: bench-lines
bench-lines: ## Lines a second next to contrib's filelog and to a bare pipe (RUNS=5 LINES=2000000 JSON=file)
	cd bench && go run ./lines -runs $${RUNS:-5} -lines $${LINES:-2000000} -json "$${JSON:-}"

.PHONY: bench-live
bench-live: ## The live tail's fan-out next to Centrifuge's (RUNS=3 ONLY=idle,light,loaded,… SOAK=10m TURNS=12 OUT=file)
	cd bench && go build -o ../$(BUILD)/bench-live ./live
	$(BUILD)/bench-live -runs $${RUNS:-3} -only "$${ONLY:-}" -soak $${SOAK:-0} -turns $${TURNS:-0} -json "$${OUT:-}"

.PHONY: soak-live
soak-live: ## 10,000 idle and 500 busy viewers: no leak, no drift; prints a table for docs/benchmarks.md (SOAK=10m IDLE=10000 BUSY=500); on a quiet machine
	@cd bench && go build -o ../$(BUILD)/bench-live ./live
	@$(BUILD)/bench-live -ways tailrace -only soak -soak $${SOAK:-10m} -idle $${IDLE:-10000} -busy $${BUSY:-500} -json "$${OUT:-$(BUILD)/soak-live.json}"

.PHONY: torture
torture: ## Ten million nasty lines through runner and runner_log, compared byte for byte (LINES=… SEED=…)
	go test -count=1 -timeout 60m -v ./test/torture -torture.lines $${LINES:-10000000} -torture.seed $${SEED:-1}

.PHONY: bench-e2e
bench-e2e: build clickhouse example ## Start-up time, memory and latency of the running product
	go test -tags e2e -run '^$$' -bench . -benchtime 1x -count $${COUNT:-3} -timeout 20m ./test/e2e/...

.PHONY: bench-query
bench-query: clickhouse ## How long the console's questions take, next to the same ones on contrib's tables (ROWS=10000000 RUNS=50 DAYS=7 ONLY=tailrace DATA=folder to keep)
	cd bench && go test -count=1 -timeout 12h -v -run TestLatency ./query -rows $${ROWS:-10000000} -runs $${RUNS:-50} -days $${DAYS:-7} -data "$${DATA:-}" -only "$${ONLY:-tailrace,contrib}"

# The peer of bench-chain, by ocb from the module proxy.
$(BUILD)/peer/peer: bench/chain/peer.yaml internal/tools/go.mod
	@echo "ocb: building the peer (a first build takes 2 to 4 minutes)"
	@mkdir -p $(BUILD)/peer
	@CGO_ENABLED=0 $(GO_TOOL) builder --config bench/chain/peer.yaml --skip-compilation > $(BUILD)/peer/ocb.log 2>&1 || { cat $(BUILD)/peer/ocb.log; exit 1; }
	@cd $(BUILD)/peer/src && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o ../peer .

.PHONY: bench-chain
bench-chain: build clickhouse $(BUILD)/peer/peer ## OTLP -> files -> ClickHouse beside contrib's chain (RUNS=5 SPANS=300000 LOGS=600000 FRESH=1m ONLY=stage,… OUT=file)
	@cd bench && go build -o ../$(BUILD)/bench-chain ./chain
	@$(BUILD)/bench-chain -build $(BUILD) -runs $${RUNS:-5} -spans $${SPANS:-300000} -logs $${LOGS:-600000} -fresh $${FRESH:-1m} -only "$${ONLY:-}" -out "$${OUT:-$(BUILD)/bench-chain.json}"

.PHONY: bench-columnar
bench-columnar: clickhouse ## CPU of clickhouse_columnar and contrib's exporter by turns, in a million records (ROUNDS=20 COUNT=5)
	cd bench && go test -run '^$$' -bench . -benchtime $${ROUNDS:-20}x -count $${COUNT:-5} -timeout 60m ./columnar

.PHONY: bench-quick
bench-quick: clickhouse ## Fails when the CPU ratios to contrib's exporter are a fifth worse than the committed ones (about 3 minutes; by hand)
	cd bench && go test -count=1 -v -run TestRatiosHaveNotDecayed -benchtime $${ROUNDS:-5}x ./columnar -quick

.PHONY: bench-schema
bench-schema: clickhouse ## Bytes, inserts and questions of the tables beside contrib's (SPANS=10000000 LOGS=20000000 RUNS=7 ONLY=contrib,tailrace OUT=file)
	cd bench && go run ./schema -spans $${SPANS:-10000000} -logs $${LOGS:-20000000} -runs $${RUNS:-7} -only "$${ONLY:-}" -out "$${OUT:-}"

.PHONY: clean
clean: ## Remove what was built (not ./data)
	rm -rf $(BUILD) embedded/clickhouse/node_modules examples/agent/node_modules test/e2e/sdk/node_modules web/node_modules web/dist test/browser/node_modules docs/node_modules
