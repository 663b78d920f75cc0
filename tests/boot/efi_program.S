/* An EFI program (UEFI 2.10 section 2.1, PE/COFF) for \EFI\BOOT\BOOTX64.EFI: says on the serial
   port that it runs, then ends QEMU by its debug-exit port with status (value << 1) | 1. The file
   is its own image in memory, headers included, so assembling it is all there is to do. */
        .code64
        .set    alignment, 0x200
        .globl  _start
_start: .ascii  "MZ"
        .org    0x3c
        .long   pe                      /* e_lfanew */

/* COFF header */
        .set    pe, . - _start
        .ascii  "PE\0\0"
        .word   0x8664                  /* Machine: x86-64 */
        .word   1                       /* NumberOfSections */
        .long   0, 0, 0                 /* TimeDateStamp, symbols: none */
        .word   section - optional      /* SizeOfOptionalHeader */
        .word   0x0206                  /* executable, no line numbers, debug stripped */

/* optional header, PE32+ */
optional:
        .word   0x20b                   /* Magic */
        .word   0
        .long   alignment, 0, 0         /* SizeOfCode, of data: none */
        .long   code - _start           /* AddressOfEntryPoint */
        .long   code - _start           /* BaseOfCode */
        .quad   0                       /* ImageBase: anywhere, nothing needs relocation */
        .long   alignment, alignment    /* SectionAlignment, FileAlignment */
        .word   0, 0, 0, 0, 0, 0        /* versions */
        .long   0
        .long   end - _start            /* SizeOfImage */
        .long   code - _start           /* SizeOfHeaders */
        .long   0
        .word   10                      /* Subsystem: EFI application */
        .word   0
        .quad   0, 0, 0, 0              /* stack and heap: the firmware's */
        .long   0
        .long   6                       /* NumberOfRvaAndSizes */
        .quad   0, 0, 0, 0, 0, 0

section:
        .ascii  ".text\0\0\0"
        .long   alignment               /* VirtualSize */
        .long   code - _start           /* VirtualAddress */
        .long   alignment               /* SizeOfRawData */
        .long   code - _start           /* PointerToRawData */
        .long   0, 0
        .word   0, 0
        .long   0x60000020              /* code, may be executed and read */

        .org    alignment
code:   lea     text(%rip), %rsi
        mov     $0x3f8, %dx             /* COM1 */
next:   lodsb
        test    %al, %al
        jz      done
        out     %al, %dx
        jmp     next
done:   mov     $0x31, %al              /* status 99 */
        out     %al, $0xf4
        hlt
text:   .asciz  "EFI program runs\r\n"
        .org    2 * alignment
end:
