// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKilledSupervisorLeavesNoDirectChild(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childMode + "=supervisor"}
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var child int
	_, err = fmt.Fscanf(stdout, "child %d\n", &child)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	requireGone(t, child)
}
