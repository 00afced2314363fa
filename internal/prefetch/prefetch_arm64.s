#include "textflag.h"

// func Line(p unsafe.Pointer)
TEXT ·Line(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET

// func Lines(base unsafe.Pointer, at *uint32, stride, n uintptr, shift uint)
TEXT ·Lines(SB), NOSPLIT, $0-40
	MOVD base+0(FP), R0
	MOVD at+8(FP), R1
	MOVD stride+16(FP), R2
	MOVD n+24(FP), R3
	MOVD shift+32(FP), R4
	CBZ  R3, done

next:
	MOVWU (R1), R5
	LSR   R4, R5, R5
	ADD   R5<<6, R0, R6
	PRFM  (R6), PLDL1KEEP
	ADD   R2, R1, R1
	SUB   $1, R3, R3
	CBNZ  R3, next

done:
	RET
