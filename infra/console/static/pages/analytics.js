export const title = "Analytics";

export function mount(root, ctx) {
}
