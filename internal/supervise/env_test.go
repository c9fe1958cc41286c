// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEnviron(t *testing.T) {
	parent := []string{"PATH=/bin", "SECRET=s", "LC_ALL=C", "LC_TIME=de", "=odd", "HOME=/root", "PATHOLOGY=1"}
	got := Environ(parent, []string{"PATH", "HOME", "LC_*"},
		map[string]string{"OTEL_SERVICE_NAME": "injected", "TAILRACE_SERVER_ID": "web-1"},
		map[string]string{"OTEL_SERVICE_NAME": "own", "HOME": "/srv", "EMPTY": ""})
	assert.Equal(t, []string{
		"EMPTY=", "HOME=/srv", "LC_ALL=C", "LC_TIME=de", "OTEL_SERVICE_NAME=own", "PATH=/bin", "TAILRACE_SERVER_ID=web-1",
	}, got)
}

func TestPairList(t *testing.T) {
	assert.Equal(t, "project.id=shop,server.id=web%2C1%3D%25%20%22%C3%A4",
		PairList("project.id", "shop", "deployment.id", "", "server.id", `web,1=% "ä`))
	assert.Empty(t, PairList())
}
