#include "textflag.h"

// Its 16 bytes from 16-n on are n times 0xff, and then zeros.
DATA masks<>+0(SB)/8, $0xffffffffffffffff
DATA masks<>+8(SB)/8, $0xffffffffffffffff
DATA masks<>+16(SB)/8, $0
DATA masks<>+24(SB)/8, $0
GLOBL masks<>(SB), RODATA|NOPTR, $32

// func load(p unsafe.Pointer, n int) (hi, mid uint64)
TEXT ·load(SB), NOSPLIT, $0-32
	MOVQ   p+0(FP), SI
	MOVQ   n+8(FP), CX
	LEAQ   masks<>+16(SB), DI
	SUBQ   CX, DI
	MOVQ   (SI), AX
	MOVQ   8(SI), BX
	ANDQ   (DI), AX
	ANDQ   8(DI), BX
	BSWAPQ AX
	BSWAPQ BX
	MOVQ   AX, hi+16(FP)
	MOVQ   BX, mid+24(FP)
	RET
