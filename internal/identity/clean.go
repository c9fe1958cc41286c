// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxBytes bounds an id in records. Ids are keys of maps, rings, folders and table indexes everywhere behind us.
const MaxBytes = 512

// Clean makes an id safe to carry and to show: white space around it is trimmed; invalid UTF-8 and invisible
// characters (controls, formatting such as a change of writing direction, line separators) become U+FFFD; above MaxBytes it
// is cut between two characters and ends in "~" and 32 hex digits of the SHA-256 of what was cut, so that two long
// ids stay two. Everything else is kept, also "../../etc": what makes a folder or a query of an id has its own
// encoding for it. Clean is idempotent. It reports whether more than the trimming was needed.
func Clean(id string) (clean string, repaired bool) {
	if plain(id) {
		return id, false
	}
	id = strings.TrimFunc(id, unicode.IsSpace)
	clean = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || invisible(r) {
			return utf8.RuneError
		}
		return r
	}, id)
	if len(clean) > MaxBytes {
		// The hash is of the id as it came: two that differ only in what was replaced stay two.
		sum := sha256.Sum256([]byte(id))
		tail := "~" + hex.EncodeToString(sum[:16])
		end := MaxBytes - len(tail)
		for !utf8.RuneStart(clean[end]) {
			end--
		}
		clean = clean[:end] + tail
	}
	return clean, clean != id
}

// plain reports the normal case, in which nothing needs to be looked at twice.
func plain(id string) bool {
	if len(id) > MaxBytes {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= utf8.RuneSelf || c == 0x7f {
			return false
		}
	}
	return true
}

func invisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
