#include "textflag.h"

// White space is a blank, or at most 4 above a tab. All of it is SSE2, which every amd64 has.

// sixteen sets the low bits of to by the 16 bytes at off(SI): 1 for white space.
#define sixteen(off, to) \
	MOVOU    off(SI), X3 \
	MOVO     X3, X4      \
	PCMPEQB  X0, X3      \
	PSUBB    X1, X4      \
	MOVO     X4, X5      \
	PMINUB   X2, X5      \
	PCMPEQB  X4, X5      \
	POR      X5, X3      \
	PMOVMSKB X3, to

DATA blank<>+0(SB)/8, $0x2020202020202020
DATA blank<>+8(SB)/8, $0x2020202020202020
GLOBL blank<>(SB), RODATA|NOPTR, $16
DATA tab<>+0(SB)/8, $0x0909090909090909
DATA tab<>+8(SB)/8, $0x0909090909090909
GLOBL tab<>(SB), RODATA|NOPTR, $16
DATA above<>+0(SB)/8, $0x0404040404040404
DATA above<>+8(SB)/8, $0x0404040404040404
GLOBL above<>(SB), RODATA|NOPTR, $16

// func bitsOf(b *[Len]byte) uint64
TEXT ·bitsOf(SB), NOSPLIT, $0-16
	MOVQ  b+0(FP), SI
	MOVOU blank<>(SB), X0
	MOVOU tab<>(SB), X1
	MOVOU above<>(SB), X2
	sixteen(0, AX)
	sixteen(16, BX)
	sixteen(32, CX)
	sixteen(48, DX)
	SHLQ  $16, BX
	SHLQ  $32, CX
	SHLQ  $48, DX
	ORQ   BX, AX
	ORQ   CX, AX
	ORQ   DX, AX
	NOTQ  AX
	MOVQ  AX, ret+8(FP)
	RET
