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

// A letter is, with the bit set that upper case lacks, at most 25 above an a: none that is not ASCII.

// alphas sets the low bits of to by the 16 bytes at off(SI): 1 for a letter; and those of high: 1 for one that is not ASCII.
#define alphas(off, to, high) \
	MOVOU    off(SI), X3 \
	PMOVMSKB X3, high    \
	POR      X0, X3      \
	PSUBB    X1, X3      \
	MOVO     X3, X5      \
	PMINUB   X2, X5      \
	PCMPEQB  X3, X5      \
	PMOVMSKB X5, to

DATA first<>+0(SB)/8, $0x6161616161616161
DATA first<>+8(SB)/8, $0x6161616161616161
GLOBL first<>(SB), RODATA|NOPTR, $16
DATA rest<>+0(SB)/8, $0x1919191919191919
DATA rest<>+8(SB)/8, $0x1919191919191919
GLOBL rest<>(SB), RODATA|NOPTR, $16

// func lettersOf(b *[Len]byte) (letters, others uint64)
TEXT ·lettersOf(SB), NOSPLIT, $0-24
	MOVQ  b+0(FP), SI
	MOVOU blank<>(SB), X0
	MOVOU first<>(SB), X1
	MOVOU rest<>(SB), X2
	alphas(0, AX, R8)
	alphas(16, BX, R9)
	alphas(32, CX, R10)
	alphas(48, DX, R11)
	SHLQ  $16, BX
	SHLQ  $32, CX
	SHLQ  $48, DX
	ORQ   BX, AX
	ORQ   CX, AX
	ORQ   DX, AX
	MOVQ  AX, letters+8(FP)
	SHLQ  $16, R9
	SHLQ  $32, R10
	SHLQ  $48, R11
	ORQ   R9, R8
	ORQ   R10, R8
	ORQ   R11, R8
	MOVQ  R8, others+16(FP)
	RET

// one puts the place of the lowest bit of CX at off(DI), and clears that bit. TZCNTQ is BSFQ where there
// is no TZCNTQ, and the same, but where no bit is left: then the place has no meaning.
#define one(off) \
	TZCNTQ CX, AX      \
	ADDL   DX, AX      \
	MOVL   AX, off(DI) \
	LEAQ   -1(CX), BX  \
	ANDQ   BX, CX

// func place(to *[Len]uint32, set uint64, base uint32)
TEXT ·place(SB), NOSPLIT, $0-20
	MOVQ  to+0(FP), DI
	MOVQ  set+8(FP), CX
	MOVL  base+16(FP), DX
	MOVQ  $4, SI

	// Sixteen without asking: a branch for each would be guessed wrongly too often. There are at most 64.
next:
	one(0)
	one(4)
	one(8)
	one(12)
	one(16)
	one(20)
	one(24)
	one(28)
	one(32)
	one(36)
	one(40)
	one(44)
	one(48)
	one(52)
	one(56)
	one(60)
	TESTQ CX, CX
	JEQ   done
	ADDQ  $64, DI
	DECQ  SI
	JNE   next

done:
	RET
