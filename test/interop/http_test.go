// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// post runs a query over HTTP with data as its input, and returns the answer.
func post(t *testing.T, server *clickhousetest.Server, sql string, data []byte) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		fmt.Sprintf("http://127.0.0.1:%d/?query=%s", server.HTTPPort, query(sql)), bytes.NewReader(data))
	require.NoError(t, err)
	req.Header.Set("X-ClickHouse-User", clickhousetest.User)
	req.Header.Set("X-ClickHouse-Key", clickhousetest.Password)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", sql, body)
	return string(body)
}
