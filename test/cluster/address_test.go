// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// getters are three neighbours in libchdb.so, by their offsets in the file: Context::getInterserverCredentials,
// getInterserverIOAddress and getInterserverScheme. In `clickhouse local` nobody has set what they return.
type getters struct {
	text                         int64 // of the segment that is mapped to be executed
	credentials, address, scheme int64
}

// The second one is found by its error message. The others must look as in the build that the lock file of embedded/clickhouse pins.
const addressError = "Parameter 'interserver_http(s)_port' required for replication"

var (
	padding = []byte{0xcc, 0xcc, 0xcc}
	// push r15; push r14; push rbx; mov r15,[rdi]; lea rbx,[r15+…]
	credentialsBegin = []byte{0x41, 0x57, 0x41, 0x56, 0x53, 0x4c, 0x8b, 0x3f, 0x49, 0x8d, 0x9f}
	// push r14; push rbx; sub rsp,…; mov r14,[rsi]
	addressBegin = []byte{0x41, 0x56, 0x53, 0x48, 0x83, 0xec, 0x48, 0x4c, 0x8b, 0x36}
	// mov rax,[rsi]; cmp byte [rax+…],0
	schemeBegin = []byte{0x48, 0x8b, 0x06, 0x80, 0xb8}
)

var findGetters = sync.OnceValues(func() (getters, error) {
	var g getters
	path := library
	f, err := elf.Open(path)
	if err != nil {
		return g, err
	}
	defer f.Close()
	ro, text := f.Section(".rodata"), f.Section(".text")
	if f.Machine != elf.EM_X86_64 || ro == nil || text == nil {
		return g, fmt.Errorf("%s is not for x86-64", path)
	}
	data, err := ro.Data()
	if err != nil {
		return g, err
	}
	at := bytes.Index(data, []byte(addressError))
	if at < 0 {
		return g, fmt.Errorf("%s does not contain %q", path, addressError)
	}
	message := ro.Addr + uint64(at)
	code, err := text.Data()
	if err != nil {
		return g, err
	}
	use := -1
	for i := 0; i+7 < len(code); i++ { // lea register, [rip + distance]
		if (code[i] == 0x48 || code[i] == 0x4c) && code[i+1] == 0x8d && code[i+2]&0xc7 == 0x05 &&
			text.Addr+uint64(i)+7+uint64(int64(int32(binary.LittleEndian.Uint32(code[i+3:])))) == message {
			use = i
			break
		}
	}
	if use < 0 {
		return g, fmt.Errorf("%s: nothing refers to %q", path, addressError)
	}
	// From one function to the next there is padding.
	address := bytes.LastIndex(code[:use], padding) + len(padding)
	credentials := bytes.LastIndex(code[:address-16], credentialsBegin)
	scheme := address + bytes.Index(code[address:], schemeBegin)
	if !bytes.HasPrefix(code[address:], addressBegin) || address-credentials > 256 || address-credentials < len(returnEmpty) || scheme-address > 512 {
		return g, fmt.Errorf("%s is another build than the one that this test knows (-: %d, +: %d): look at the functions around file offset %#x, and adapt address_test.go",
			path, address-credentials, scheme-address, text.Offset+uint64(address))
	}
	base := int64(text.Offset)
	g = getters{credentials: base + int64(credentials), address: base + int64(address), scheme: base + int64(scheme)}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			g.text = int64(p.Off)
		}
	}
	return g, nil
})

// giveAddress makes a process that has just been started believe that it was configured with interserver_http_port. It returns before
// the process has begun to read its tables: the library is there as soon as it is mapped, and takes longer to load.
func giveAddress(t testing.TB, pid, port int) {
	t.Helper()
	g, err := findGetters()
	require.NoError(t, err)
	var base int64
	require.Eventually(t, func() bool {
		base = mapped(pid)
		return base != 0
	}, 20*time.Second, time.Millisecond, "the library was not loaded")
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	require.NoError(t, err)
	defer memory.Close()
	write := func(offset int64, code []byte) {
		_, err := memory.WriteAt(code, base+offset)
		require.NoError(t, err)
	}
	write(g.address, append(returnString("127.0.0.1"), returnPort(port)...))
	write(g.scheme, append(returnString("http"), returnItself...))
	write(g.credentials, returnEmpty)
}

// mapped returns what to add to an offset in the library's text, to get its address in the process; 0 while it isn't there.
func mapped(pid int) int64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(io.LimitReader(f, 1<<20)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 6 && strings.HasSuffix(fields[5], "libchdb.so") && strings.Contains(fields[1], "x") {
			start, _, _ := strings.Cut(fields[0], "-")
			from, err1 := strconv.ParseInt(start, 16, 64)
			offset, err2 := strconv.ParseInt(fields[2], 16, 64)
			if err1 == nil && err2 == nil {
				return from - offset
			}
		}
	}
	return 0
}

// returnString is x86-64 for: write a short std::string of libc++ to where rdi points.
func returnString(s string) []byte {
	var text [24]byte
	copy(text[:22], s)
	text[23] = byte(len(s))
	var code []byte
	for i := range 3 {
		code = append(code, 0x48, 0xb8) // mov rax, …
		code = append(code, text[8*i:8*i+8]...)
		code = append(code, 0x48, 0x89, 0x47, byte(8*i)) // mov [rdi+…], rax
	}
	return code
}

var returnItself = []byte{0x48, 0x89, 0xf8, 0xc3} // mov rax, rdi; ret

func returnPort(port int) []byte {
	code := binary.LittleEndian.AppendUint16([]byte{0x66, 0xc7, 0x47, 0x18}, uint16(port)) // mov word [rdi+24], …
	return append(code, returnItself...)
}

// returnEmpty returns a pointer, of no owner, to credentials without user and password, which are zeros behind the code.
var returnEmpty = append([]byte{0x48, 0x8d, 0x05, 9, 0, 0, 0, 0x31, 0xd2, 0xc3}, make([]byte, 6+72)...) // lea rax, [rip+9]; xor edx, edx; ret
