// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"encoding/json"
	"net/http"
)

// kinds are the types of problems, as the API has them.
var kinds = map[int]string{
	http.StatusUnauthorized: "unauthenticated", http.StatusForbidden: "forbidden", http.StatusMethodNotAllowed: "method",
	http.StatusTooManyRequests: "limit", http.StatusServiceUnavailable: "unavailable", http.StatusInternalServerError: "internal",
}

// problem answers with a problem document (RFC 9457), as the API does.
func problem(w http.ResponseWriter, status int, detail string) {
	kind, ok := kinds[status]
	if !ok {
		kind = "request"
	}
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"urn:tailrace:problem:" + kind, http.StatusText(status), status, detail})
	if err != nil {
		http.Error(w, detail, status)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		problem(w, http.StatusInternalServerError, "the answer can't be written")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}
