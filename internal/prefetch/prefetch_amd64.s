#include "textflag.h"

// func Line(p unsafe.Pointer)
TEXT ·Line(SB), NOSPLIT, $0-8
	MOVQ       p+0(FP), AX
	PREFETCHT0 (AX)
	RET

// func Lines(base unsafe.Pointer, at *uint32, stride, n uintptr, shift uint)
TEXT ·Lines(SB), NOSPLIT, $0-40
	MOVQ base+0(FP), AX
	MOVQ at+8(FP), BX
	MOVQ stride+16(FP), DX
	MOVQ n+24(FP), SI
	MOVQ shift+32(FP), CX
	TESTQ SI, SI
	JEQ  done

next:
	MOVL       (BX), DI
	SHRL       CX, DI
	SHLQ       $6, DI
	PREFETCHT0 (AX)(DI*1)
	ADDQ       DX, BX
	DECQ       SI
	JNE        next

done:
	RET
