// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package bytesize is how people write amounts of memory and disk.
package bytesize

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Size is a number of bytes, in YAML a number or a text such as 512MiB, 2GiB or 1.5GB.
type Size uint64

var pattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([KMGT]I?)?B?$`)

// UnmarshalText reads the text form. The error does not name the key.
func (s *Size) UnmarshalText(text []byte) error {
	m := pattern.FindStringSubmatch(strings.ToUpper(strings.TrimSpace(string(text))))
	if m == nil {
		return fmt.Errorf("%q is no size: allowed are bytes, or a number with KiB, MiB, GiB, TiB, KB, MB, GB or TB", text)
	}
	number, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return err
	}
	factor := 1.0
	if unit := m[2]; unit != "" {
		base := 1000.0
		if strings.HasSuffix(unit, "I") {
			base = 1024
		}
		factor = math.Pow(base, float64(strings.IndexByte("KMGT", unit[0])+1))
	}
	if number*factor > math.MaxInt64 {
		return fmt.Errorf("%q is too large", text)
	}
	*s = Size(number * factor)
	return nil
}

// String writes whole multiples with their unit, and all else as bytes.
func (s Size) String() string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if shift := 40 - 10*i; s != 0 && s%(1<<shift) == 0 {
			return strconv.FormatUint(uint64(s>>shift), 10) + unit
		}
	}
	return strconv.FormatUint(uint64(s), 10) + "B"
}
