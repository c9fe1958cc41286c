// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package foreignid

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIDs(t *testing.T) {
	for text, exact := range map[string]bool{
		"": true, "5b8efff798038103d269b633813fc60c": true, "5B8EFFF7-9803-8103-D269-B633813FC60C": true,
		"00000000000000000000000000000000": true,
		"5b8efff798038103d269b633813fc60":  false, "zb8efff798038103d269b633813fc60c": false, "run-1": false,
		"5b8efff7-98038103-d269-b633813fc60c-": false,
	} {
		id, ok := Trace(text)
		assert.Equal(t, exact, ok, text)
		again, _ := Trace(text)
		assert.Equal(t, id, again)
		if !exact {
			assert.False(t, id.IsEmpty(), text)
		}
	}
	a, exact := Trace("5B8EFFF7-9803-8103-D269-B633813FC60C")
	assert.True(t, exact)
	assert.Equal(t, "5b8efff798038103d269b633813fc60c", a.String())
	s, exact := Span("EEE19B7EC3C1B174")
	assert.True(t, exact)
	assert.Equal(t, "eee19b7ec3c1b174", s.String())
	x, exact := Span("550e8400-e29b-41d4-a716-446655440000")
	assert.False(t, exact)
	y, _ := Span("550e8400-e29b-41d4-a716-446655440001")
	assert.NotEqual(t, x, y)
}
