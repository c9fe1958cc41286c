// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package docblocks

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRead(t *testing.T) {
	assert.Equal(t, []Block{{"a\nb\n", "one\n"}, {"c\n", ""}}, Read("# t\n```sh\na\nb\n```\n\n```text\none\n```\n```yaml\nx: 1\n```\n```sh\nc\n```\n"))
	assert.Empty(t, Read("no commands"))
}
