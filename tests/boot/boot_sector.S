/* The first 512 bytes of a disk, as a BIOS runs them at 0000:7c00 in real mode: says so on the
   serial port, then ends QEMU by its debug-exit port with status (value << 1) | 1. */
        .code16
        .globl _start
_start: mov     $text - _start + 0x7c00, %si
        xor     %ax, %ax
        mov     %ax, %ds
        mov     $0x3f8, %dx             /* COM1 */
next:   lodsb
        test    %al, %al
        jz      done
        out     %al, %dx
        jmp     next
done:   mov     $0x31, %al              /* status 99 */
        out     %al, $0xf4
        hlt
text:   .asciz  "boot sector runs\r\n"
        .org    510
        .word   0xaa55
