# Tailrace. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BUILD := _build
GO_TOOL := go tool -modfile=$(CURDIR)/internal/tools/go.mod
GO_FILES := $(shell find cmd components converter exporter extension internal processor receiver -name '*.go' -not -name '*_test.go' 2>/dev/null)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
CHDB := embedded/clickhouse/node_modules/@chdb
EXAMPLE := examples/agent/node_modules/.package-lock.json
SDK_APP := test/e2e/sdk/node_modules/.package-lock.json
# Unit tests of packages that only exist to be run through the binary live behind the e2e tag.
PKGS := ./...

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' | { if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

.PHONY: build
build: $(BUILD)/tailrace $(BUILD)/tailrace-clickhouse $(BUILD)/tailrace-up $(BUILD)/tailctl ## Build the collector (ocb) and its helpers into _build/

# ocb writes the sources when the manifest or the module changed; Go's own cache makes the rest incremental.
$(BUILD)/src/main.go: builder-config.yaml go.mod internal/tools/go.mod
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

.PHONY: run
run: build clickhouse example ## Run everything on this machine: collector, embedded ClickHouse, two example servers
	@exec $(BUILD)/tailrace-up --config config/local.yaml

.PHONY: test
test: test-unit test-e2e ## Unit tests with -race, then end-to-end tests against the built binary and the real ClickHouse

.PHONY: test-unit
test-unit: clickhouse ## Unit tests with -race
	go test -race -timeout 15m $(PKGS)

.PHONY: test-interop
test-interop: clickhouse ## The JSONL files read by DuckDB, ClickHouse and contrib's otlp_json_file; rows beside contrib's exporter (needs jq, zstd, Node)
	cd test/interop/duckdb && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	cd test/interop && go test -count=1 -timeout 10m ./...

.PHONY: test-kills
test-kills: clickhouse ## The kill tests of the ingest, long: more than 200 kills of the collector, 50 of ClickHouse
	TAILRACE_TEST_KILLS=$${KILLS:-10} go test -race -count=1 -timeout 60m -run 'Kill|TwoCollectors' -v ./receiver/clickhouseingestreceiver

.PHONY: test-e2e
test-e2e: build clickhouse example $(SDK_APP) ## End-to-end tests against the built binary and the real ClickHouse
	go test -tags e2e -count=1 -timeout 20m ./test/e2e/...

.PHONY: check
check: lint check-generated check-tidy check-configs check-vulns ## Lint, generated diff, tidy diff, every config validated, known vulnerabilities

.PHONY: lint
lint: ## golangci-lint
	$(GO_TOOL) golangci-lint run ./...

.PHONY: generate
generate: ## Run mdatagen for every component
	go generate ./...

.PHONY: check-generated
check-generated: generate
	@git diff --exit-code --stat -- '*generated_*' '*.md' '*/documentation.md' || { echo "generated files differ: run 'make generate' and commit" >&2; exit 1; }

.PHONY: check-tidy
check-tidy:
	go mod tidy -diff
	cd internal/tools && go mod tidy -diff

.PHONY: check-configs
check-configs: $(BUILD)/tailrace
	@for c in config/*.yaml; do \
	  TAILRACE_CLICKHOUSE_PASSWORD=only-validated $(BUILD)/tailrace validate --config "$$c" || { echo "$$c is invalid" >&2; exit 1; }; \
	  echo "valid: $$c"; done

# The vulnerability database is a service of its own: where it cannot be reached, that is said and is no failure.
.PHONY: check-vulns
check-vulns:
	@out=$$($(GO_TOOL) govulncheck ./... 2>&1); code=$$?; \
	  if [ $$code -eq 0 ] || ! grep -qE 'fetching vulnerabilities|dial tcp|no such host|403|Forbidden' <<<"$$out"; then echo "$$out"; exit $$code; \
	  else echo "govulncheck: its database cannot be reached from here, not checked"; fi

.PHONY: bench
bench: ## Go benchmarks of the hot paths (BENCHTIME=1s COUNT=5)
	go test -run '^$$' -bench . -benchmem -benchtime $${BENCHTIME:-1s} -count $${COUNT:-5} ./internal/... ./exporter/... ./processor/... ./receiver/...

.PHONY: bench-lines
bench-lines: ## Lines a second next to contrib's filelog and to a bare pipe (RUNS=5 LINES=2000000 JSON=file)
	cd bench && go run ./lines -runs $${RUNS:-5} -lines $${LINES:-2000000} -json "$${JSON:-}"

.PHONY: torture
torture: ## Ten million nasty lines through runner and runner_log, compared byte for byte (LINES=… SEED=…)
	go test -count=1 -timeout 60m -v ./test/torture -torture.lines $${LINES:-10000000} -torture.seed $${SEED:-1}

.PHONY: bench-e2e
bench-e2e: build clickhouse example ## Start-up time, memory and latency of the running product
	go test -tags e2e -run '^$$' -bench . -benchtime 1x -count $${COUNT:-3} -timeout 20m ./test/e2e/...

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

.PHONY: clean
clean: ## Remove what was built (not ./data)
	rm -rf $(BUILD) embedded/clickhouse/node_modules examples/agent/node_modules test/e2e/sdk/node_modules
