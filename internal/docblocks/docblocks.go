// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package docblocks reads the commands out of a document, for the tests that follow it as a reader does.
package docblocks

import "strings"

// Block is a block of commands of a document, and what it says that they print: each line of it is in the output.
type Block struct{ Commands, Prints string }

// Read reads the ```sh blocks of a document, and the ```text block that may follow each.
func Read(document string) []Block {
	var all []Block
	var kind string
	for line := range strings.Lines(document) {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && kind != "":
			kind = ""
		case isFence:
			kind = fence
			if kind == "sh" {
				all = append(all, Block{})
			}
		case kind == "sh":
			all[len(all)-1].Commands += line
		case kind == "text":
			all[len(all)-1].Prints += line
		}
	}
	return all
}
