// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"bytes"
	"errors"
	"fmt"
)

// maxDepth bounds the nesting of a line. The decoder goes down into values by recursion, and a stack that runs
// over can't be recovered from; OTLP itself needs about ten levels and three more for each level of a value.
const maxDepth = 1000

var (
	errNotObject = errors.New("the line is not a JSON object")
	errTrailing  = errors.New("something follows the JSON object on the line")
	errDepth     = fmt.Errorf("the line is nested deeper than %d levels", maxDepth)
)

// oneObject checks what the decoder does not: that the line is one object and nothing more, and how deep it
// is. It does not check the grammar, which the decoder does.
func oneObject(line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' {
		return errNotObject
	}
	depth := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			end := stringEnd(line, i+1)
			if end < 0 {
				return errors.New("a string does not end")
			}
			i = end
		case '{', '[':
			if depth++; depth > maxDepth {
				return errDepth
			}
		case '}', ']':
			if depth--; depth == 0 && i != len(line)-1 {
				return errTrailing
			}
		}
	}
	if depth != 0 {
		return errors.New("the JSON object does not end")
	}
	return nil
}

// stringEnd returns the index of the quote that ends the string which begins at i, or -1.
func stringEnd(line []byte, i int) int {
	for {
		n := bytes.IndexByte(line[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for line[i-1-escapes] == '\\' { // ends at the opening quote at the latest
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
		i++
	}
}
