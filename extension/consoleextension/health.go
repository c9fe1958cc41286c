// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"context"
	"net/http"
	"time"
)

// storeWait is how long ClickHouse is given to be ready, where somebody waits for the answer.
const storeWait = 100 * time.Millisecond

// healthz says that the process answers.
func (c *console) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether there is something to see: pipelines run, and ClickHouse can be asked. Anybody may ask, so it does not say why not.
func (c *console) readyz(w http.ResponseWriter, r *http.Request) {
	state := map[string]string{"status": "ready", "pipelines": "ready", "store": "none"}
	status := http.StatusOK
	bad := func(part string) {
		state["status"], state[part] = "not ready", "not ready"
		status = http.StatusServiceUnavailable
	}
	if !c.ready.Load() {
		bad("pipelines")
	}
	if c.store != nil {
		state["store"] = "ready"
		if c.storeReady(r.Context()) != nil {
			bad("store")
		}
	}
	answer(w, status, state)
}

// storeReady is nil when ClickHouse can be asked, or says why not.
func (c *console) storeReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	return c.store.WaitReady(ctx)
}
